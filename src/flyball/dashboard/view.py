"""What each page shows, read once and handed to the page and to the JSON alike, so that their numbers are the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from flyball.dashboard import reads
from flyball.dashboard.performances import performance_rows
from flyball.dashboard.records import Fleet, ModelCard, ModelPage, Performance, Tenure, VersionPage, VersionRow
from flyball.dashboard.traffic import traffic
from flyball.registry.decisions import Decision, decisions
from flyball.registry.records import RuleResult, Version
from flyball.registry.versions import version, versions
from flyball.stats.estimate import Estimate
from flyball.stats.names import GREATER_IS_BETTER
from flyball.store import Database, Home

#: days of the primary metric that the fleet draws.
FLEET_DAYS = 60
#: decisions on a model's page; the others are one click away.
PAGE_DECISIONS = 15
#: lines of the table of newest figures; `flyball monitor MODEL --performance` has the others.
PAGE_MEASURED = 10


def fleet(home: Home, database: Database) -> Fleet:
    """All models, by name."""
    cards = tuple(card(home, database, model, days=FLEET_DAYS) for model in reads.model_names(database))
    return Fleet(models=cards, loop=reads.loop(database))


def card(home: Home, database: Database, model: str, *, days: int | None = None) -> ModelCard:
    """One model: what is live, since when, how it does, what was decided last. `days` bounds the metric's history."""
    history = reads.history(database, model)
    now_live = history[0] if history else None
    stretch = stay(history)
    drift = reads.windows(database, model, kind="drift", limit=1)
    return ModelCard(
        model=model,
        live=now_live.version if now_live else None,
        label=version(database, model, now_live.version).label if now_live else None,
        since=stretch.start if stretch else None,
        who=stretch.who if stretch else None,
        why=stretch.why if stretch else None,
        shadow=now_live.shadow if now_live else (),
        rollout=reads.newest_rollout(database, model),
        traffic=traffic(home, model),
        performance=performance(database, model, days=days),
        drift=drift[0] if drift else None,
        alerts=tuple(reads.alerts(database, model=model, still_open=True)),
        last_decision=reads.last_turn(database, model),
    )


def performance(database: Database, model: str, *, days: int | None = None) -> Performance:
    """The primary metric by day; empty, and under the name "auc", before the first labelled day."""
    metric = reads.primary_metric(database, model)
    found = reads.daily_metrics(database, model, metric=metric, days=days).get(metric, ()) if metric else ()
    name = metric or "auc"
    return Performance(
        metric=name,
        greater_is_better=GREATER_IS_BETTER.get(name, True),
        days=found,
        newest=found[-1] if found else None,
    )


def model_page(home: Home, database: Database, model: str) -> ModelPage:
    """Everything about one model. Raises NotFound naming the models there are."""
    reads.require_model(database, model)
    return ModelPage(
        card=card(home, database, model),
        versions=version_rows(database, model),
        windows=reads.windows(database, model, kind="drift"),
        measured=performance_rows(database, model, metric=reads.primary_metric(database, model), limit=PAGE_MEASURED),
        decisions=reads.notable_decisions(database, model, limit=PAGE_DECISIONS),
        history=reads.history(database, model),
    )


def version_rows(database: Database, model: str) -> tuple[VersionRow, ...]:
    """The versions table, newest first."""
    gates = _gates(database, model)
    return tuple(_row(item, _gate_of(item, gates)) for item in reversed(versions(database, model)))


def version_page(home: Home, database: Database, model: str, number: int) -> VersionPage:
    """One version. Raises NotFound naming the versions there are."""
    found = version(database, model, number)
    gates = _gates(database, model)
    gate = _gate_of(found, gates)
    return VersionPage(
        version=found,
        gate=gate,
        results=rule_results(gate.evidence) if gate else (),
        tenures=tuple(item for item in reads.history(database, model) if item.version == number),
        contract=_contract(home, found),
    )


def rule_results(evidence: Any) -> tuple[RuleResult, ...]:
    """The lines of a gate verdict kept as evidence, bare or under "verdict"; () when it holds none."""
    if not isinstance(evidence, Mapping):
        return ()
    inner = evidence.get("verdict")
    results = (inner if isinstance(inner, Mapping) else evidence).get("results")
    return tuple(_result(item) for item in results) if isinstance(results, list) else ()


def _result(item: Mapping[str, Any]) -> RuleResult:
    difference = item.get("difference")
    return RuleResult(
        rule=item["rule"],
        candidate=item.get("candidate"),
        champion=item.get("champion"),
        difference=Estimate(**difference) if difference else None,
        passed=item["passed"],
        why=item["why"],
    )


def stay(history: tuple[Tenure, ...]) -> Tenure | None:
    """The deployment that put today's live version there: a shadow that came or went since does not restart its time."""
    found = None
    for tenure in history:
        if found is not None and tenure.version != found.version:
            break
        found = tenure
    return found


def _gates(database: Database, model: str) -> dict[str, Decision]:
    """Gate decisions by what they are about: the version, and the run that their verdict names. The newest wins."""
    found: dict[str, Decision] = {}
    for item in reversed(decisions(database, model, kind="gate", limit=10_000)):
        found[item.subject] = item
        if isinstance(item.evidence, Mapping) and isinstance(item.evidence.get("run"), str):
            found[item.evidence["run"]] = item
    return found


def _gate_of(item: Version, gates: Mapping[str, Decision]) -> Decision | None:
    return gates.get(f"v{item.number}") or gates.get(item.lineage.run)


def _row(item: Version, gate: Decision | None) -> VersionRow:
    return VersionRow(
        number=item.number,
        label=item.label,
        stage=item.stage,
        created_at=item.created_at,
        reason=item.lineage.reason,
        data_rows=item.lineage.data_rows,
        data_start=item.lineage.data_start,
        data_end=item.lineage.data_end,
        metrics=item.metrics,
        gate=gate.reason if gate else None,
    )


def _contract(home: Home, item: Version) -> Mapping[str, Any] | None:
    path = home.path / item.bundle / "contract.json"
    try:
        found: Mapping[str, Any] = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None  # a bundle in another place or a torn one: the page goes on without it, serving has its own check
    return found
