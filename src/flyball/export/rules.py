"""Prometheus' rules: what is recorded, and what wakes a person, each with its runbook line.

Drift, performance and the like are judged by Flyball, whose verdicts are alerts of its own; the rules pass them on with
their severity. What Flyball cannot say itself, that it is silent, slow or gone, is judged here.
Names of recorded series: level:metric:operations (https://prometheus.io/docs/practices/rules/).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from flyball.export.records import Watched

Rule = dict[str, Any]
#: one for whom: critical, wakes a person; warning, is looked at in the day.
Severity = Literal["critical", "warning"]

#: job labels of the scrape configuration, which the rules ask for.
SERVING, CONTROL = "flyball-serving", "flyball-control"

#: share of requests without an answer (5xx) beyond which somebody is woken.
ERROR_RATIO = 0.01
#: the loop renews its lease every 15 s: after three that are missing it is silent.
LOOP_SILENT_S = 45
#: a worker gives a sign of life four times a second; swaps and large batches take some.
WORKER_SILENT_S = 15


def recording_rules(interval_s: int) -> list[Rule]:
    """Rates and latencies per model, as everybody asks for them."""
    window = span(20 * interval_s)
    requests = f"rate(flyball_requests_total[{window}])"
    errors = f'rate(flyball_requests_total{{code=~"5.."}}[{window}])'
    seconds = f"sum by (le, model, variant) (rate(flyball_request_seconds_bucket[{window}]))"
    records = f"rate(flyball_journal_records_total[{window}])"
    lost = f'rate(flyball_journal_records_total{{result="dropped"}}[{window}])'
    by_model = f"sum by (model) ({requests})"
    by_version = "sum by (model, version, variant)"
    return [
        {"record": "model_version:flyball_requests:rate", "expr": f"{by_version} ({requests})"},
        {"record": "model_version:flyball_rows:rate", "expr": f"{by_version} (rate(flyball_rows_total[{window}]))"},
        {"record": "model:flyball_requests:rate", "expr": by_model},
        {
            # Without an error there is no series of errors; the share is 0 then, not unknown.
            "record": "model:flyball_errors:ratio",
            "expr": f"(sum by (model) ({errors}) or {by_model} * 0) / ({by_model} > 0)",
        },
        *(
            {"record": f"model_variant:flyball_request_seconds:{name}", "expr": f"histogram_quantile({of}, {seconds})"}
            for name, of in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
        ),
        {"record": "flyball:journal_dropped:ratio", "expr": f"sum({lost}) / (sum({records}) > 0)"},
    ]


def alerting_rules(models: Sequence[Watched], interval_s: int) -> list[Rule]:
    """Everything that alarms, most urgent things first."""
    return [*_processes(interval_s), *_answers(models, interval_s), *_verdicts(models, interval_s)]


def _processes(interval_s: int) -> Iterator[Rule]:
    soon, window = span(2 * interval_s), span(20 * interval_s)
    yield _alert(
        "FlyballServingDown",
        f'up{{job="{SERVING}"}} == 0',
        soon,
        "critical",
        "no serving worker answers on {{ $labels.instance }}",
        "Is `flyball up` or `flyball serve` running there? `flyball doctor` names what is missing.",
    )
    yield _alert(
        "FlyballControlPlaneDown",
        f'up{{job="{CONTROL}"}} == 0',
        soon,
        "warning",
        "the control plane does not answer on {{ $labels.instance }}; what it would tell is unknown",
        "Answers go on. Is the token in credentials_file still known (`flyball token list`)? Is the database there?",
    )
    yield _alert(
        "FlyballLoopSilent",
        f"time() - max(flyball_loop_last_tick_seconds) > {max(8 * interval_s, LOOP_SILENT_S)}",
        soon,
        "critical",
        "the loop gave its last sign of life {{ $value | humanizeDuration }} ago; nothing is watched or decided",
        "Answers go on with what is live. Restart `flyball up`; a loop that hangs is ended with its process.",
    )
    yield _alert(
        "FlyballLoopAbsent",
        f'absent(flyball_loop_last_tick_seconds) and on () up{{job="{CONTROL}"}} == 1',
        span(8 * interval_s),
        "critical",
        "no loop runs; nothing is watched or decided",
        "`flyball serve` alone has none: one `flyball up` has to run for this database.",
    )
    yield _alert(
        "FlyballWorkerGone",
        f"time() - flyball_worker_last_tick_seconds > {max(4 * interval_s, WORKER_SILENT_S)}",
        soon,
        "warning",
        "worker {{ $labels.worker }} on {{ $labels.instance }} gives no sign of life",
        "The others answer. The log of `flyball up` says why it ended; one that hangs is replaced when it is killed.",
    )
    yield _alert(
        "FlyballWorkerRestarts",
        f"increase(flyball_worker_starts_total[{window}]) > 2",
        None,
        "warning",
        "worker {{ $labels.worker }} on {{ $labels.instance }} keeps dying",
        "The log of `flyball up` says how it ends; killed by signal 9 is mostly memory.",
    )
    yield _alert(
        "FlyballVersionSkew",
        "count by (model, variant) (group by (model, variant, generation) (flyball_model_info)) > 1",
        span(8 * interval_s),
        "warning",
        "{{ $labels.model }}: workers answer with {{ $value }} deployments at once",
        "A worker cannot load what is deployed; /readyz of the data plane and its log say what.",
    )


def _answers(models: Sequence[Watched], interval_s: int) -> Iterator[Rule]:
    window = span(20 * interval_s)
    yield _alert(
        "FlyballErrors",
        f"model:flyball_errors:ratio > {ERROR_RATIO}",
        span(8 * interval_s),
        "critical",
        "{{ $labels.model }}: {{ $value | humanizePercentage }} of requests get no answer",
        "The lake's `errors` say why. Since a promotion? `flyball rollback {{ $labels.model }}`.",
    )
    for item in models:
        yield _alert(
            "FlyballLatency",
            f'model_variant:flyball_request_seconds:p99{{model="{item.model}",variant="live"}} >= {item.p99_s:g}',
            span(8 * interval_s),
            "warning",
            f"{item.model}: p99 is {{{{ $value | humanizeDuration }}}}, wanted is {item.p99_from}",
            "More traffic, larger batches, or a slower version? `flyball why` tells what the gate measured.",
        )
    yield _alert(
        "FlyballJournalDropping",
        f'increase(flyball_journal_records_total{{result="dropped"}}[{window}]) > 0',
        None,
        "critical",
        "{{ $value | humanize }} answered rows left no record: they can never be joined with what came true",
        "Is the disk full or slow? `flyball doctor` in the home; answers go on meanwhile.",
    )
    yield _alert(
        "FlyballShadowFailing",
        f'increase(flyball_shadow_total{{result="failed"}}[{window}]) > 0',
        None,
        "warning",
        "a shadow version fails on live traffic",
        "`flyball rollout MODEL` names it, the workers' log the error; `flyball archive MODEL@shadow` ends it.",
    )


def _verdicts(models: Sequence[Watched], interval_s: int) -> Iterator[Rule]:
    """What Flyball has judged: the severity is the one it gave."""
    yield _alert(
        "FlyballDrift",
        'flyball_alerts_firing{name="drift"} > 0',
        None,
        None,
        "{{ $labels.model }}: inputs drifted",
        "`flyball monitor {{ $labels.model }} --drift` ranks the features; `flyball decisions {{ $labels.model }}` says "
        "what was done.",
    )
    promises = "; ".join(f"{item.model}: {item.promise}" for item in models if item.promise is not None)
    yield _alert(
        "FlyballPerformance",
        'flyball_alerts_firing{name="performance"} > 0',
        None,
        None,
        "{{ $labels.model }}: performance is below its promise",
        "`flyball monitor {{ $labels.model }} --performance`; `flyball rollback {{ $labels.model }}` puts back the version "
        "before." + (f" Broken when: {promises}." if promises else ""),
    )
    yield _alert(
        "FlyballRetrainFailing",
        f'increase(flyball_retrains_total{{result="failed"}}[{span(240 * interval_s)}]) > 0',
        None,
        "warning",
        "{{ $labels.model }}: a training run failed",
        "`flyball runs`, then `flyball logs RUN`; `flyball resume RUN` goes on where it was.",
    )
    yield _alert(
        "FlyballAlert",
        'flyball_alerts_firing{name!~"drift|performance",severity!="info"} > 0',
        None,
        None,
        "{{ $labels.model }}: {{ $labels.name }}",
        "`flyball alerts` says more, and what to do.",
    )


def _alert(name: str, expr: str, lasting: str | None, severity: Severity | None, summary: str, runbook: str) -> Rule:
    """`severity` None: the one in the series' own label."""
    rule: Rule = {"alert": name, "expr": expr}
    if lasting is not None:
        rule["for"] = lasting
    if severity is not None:
        rule["labels"] = {"severity": severity}
    return {**rule, "annotations": {"summary": summary, "runbook": runbook}}


def span(seconds: int) -> str:
    """A duration as Prometheus writes it: 300 -> 5m, 90 -> 90s."""
    for unit, length in (("h", 3600), ("m", 60)):
        if seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"
