"""The gate: may this candidate answer in the champion's place? Pure: rules and scores in, a verdict with its evidence out.

Candidate and champion are scored on the same held-out rows, which neither saw in training. `>` and `<` against the
champion mean better beyond chance; `>=` and `<=` mean not worse by more than the margin, beyond chance (non-inferiority:
the interval's unfavourable end must keep within the margin). An absolute rule compares the value itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from flyball.project.records import GateSettings
from flyball.project.rules import Rule
from flyball.registry.holds import Bar
from flyball.registry.records import RuleResult, Verdict
from flyball.registry.slices import Scored, judge_slices
from flyball.stats.answers import Answers, answers_of
from flyball.stats.estimate import Estimate
from flyball.stats.intervals import detectable, estimate_of, paired_of
from flyball.stats.names import SERVING_METRICS

Occasion = Literal["first", "change", "refresh"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """The rows both versions were scored on."""

    task: str
    #: shape (n,): 0/1, class index or value.
    y: npt.NDArray[np.float64]
    #: shape (n,) or (n, classes).
    candidate: npt.NDArray[np.float64]
    #: the same rows scored by the champion; None when there is none.
    champion: npt.NDArray[np.float64] | None
    #: rows of one cluster move together; None = independent rows.
    clusters: npt.NDArray[np.int64] | None
    #: column -> shape (n,): which of its slices each row is in; see `slices.cut`.
    slices: Mapping[str, npt.NDArray[np.str_]] = field(default_factory=dict)
    days: int
    start: datetime | None
    end: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Who asks the gate, for whom, when."""

    model: str
    run: str
    occasion: Occasion
    champion: int | None
    at: datetime


def rules_for(settings: GateSettings, occasion: Occasion) -> tuple[Rule, ...]:
    """`always` rules, and those of the occasion: a changed recipe, a refresh of the same one, or a first version."""
    special = {"first": (), "change": settings.change, "refresh": settings.refresh}[occasion]
    return tuple(special) + tuple(settings.always)


def judge(
    question: Question,
    settings: GateSettings,
    held_out: HeldOut,
    measured: Mapping[str, float],
    checked: Sequence[RuleResult] = (),
) -> Verdict:
    """The verdict. `measured` holds what was measured on the serving path (`SERVING_METRICS`), `checked` the lines about the
    rows themselves (`sound`).
    """
    rules = rules_for(settings, question.occasion)
    rows = _both(held_out)
    results = tuple(_result(rule, settings.confidence, rows, measured) for rule in rules)
    if settings.slices:
        results += _sliced(settings, held_out)
    results += tuple(checked)
    return Verdict(
        model=question.model,
        run=question.run,
        occasion=question.occasion,
        champion=question.champion,
        rows=len(held_out.y),
        days=held_out.days,
        data_start=held_out.start,
        data_end=held_out.end,
        results=results,
        passed=all(result.passed for result in results),
        at=question.at,
    )


def with_bars(verdict: Verdict, twin: Bar | None) -> Verdict:
    """The verdict of a candidate made as a barred version was: refused, whatever the rules say."""
    if twin is None or not verdict.passed:
        return verdict
    why = f"made of the same rows by the same recipe as a version that is barred: {twin}"
    line = RuleResult(
        rule="is no barred version", candidate=None, champion=None, difference=None, passed=False, why=why
    )
    return replace(verdict, results=(*verdict.results, line), passed=False)


def metrics_of(held_out: HeldOut, names: Sequence[str], confidence: float) -> dict[str, Estimate]:
    """The candidate's metrics on the held-out rows, with intervals; those that cannot be judged are left out."""
    rows = _both(held_out)
    found = {name: _estimate(name, rows, confidence) for name in names}
    return {name: item for name, item in found.items() if item is not None and np.isfinite(item.value)}


def sentence(verdict: Verdict) -> str:
    """The verdict in one sentence, the deciding rule first."""
    telling = [item for item in verdict.results if not item.passed] or [
        item for item in verdict.results if item.difference is not None
    ]
    words = "passed" if verdict.passed else "refused"
    caveat = f" ({verdict.caveat})" if verdict.caveat else ""
    if not telling:
        rules = f"{len(verdict.results)} rules hold" if verdict.results else "no rule applies"
        return f"{words}: {rules} on {verdict.rows:,} held-out rows ({verdict.occasion} version){caveat}"
    return f"{words}: " + "; ".join(item.why for item in telling) + caveat


@dataclass(frozen=True, slots=True, kw_only=True)
class _Both:
    """Both versions' answers as metrics are asked of them, checked and sorted once for all rules; None: nothing to ask."""

    candidate: Answers | None
    champion: Answers | None
    clusters: npt.NDArray[np.int64] | None
    rows: int


def _both(held_out: HeldOut) -> _Both:
    def answers(score: npt.NDArray[np.float64] | None) -> Answers | None:
        return None if score is None or not len(held_out.y) else answers_of(held_out.task, held_out.y, score)

    return _Both(
        candidate=answers(held_out.candidate),
        champion=answers(held_out.champion),
        clusters=held_out.clusters,
        rows=len(held_out.y),
    )


def _result(rule: Rule, confidence: float, held_out: _Both, measured: Mapping[str, float]) -> RuleResult:
    if rule.against_champion:
        return _compared(rule, confidence, held_out)
    if rule.metric in SERVING_METRICS:
        return absolute(rule, measured.get(rule.metric))
    own = _estimate(rule.metric, held_out, confidence)
    return absolute(rule, None if own is None else own.value)


def _sliced(settings: GateSettings, held_out: HeldOut) -> tuple[RuleResult, ...]:
    """Every floor in every slice; see `slices`."""
    rows = Scored(
        task=held_out.task,
        y=held_out.y,
        candidate=held_out.candidate,
        champion=held_out.champion,
        clusters=held_out.clusters,
        slices=held_out.slices,
    )
    return tuple(line for rule in settings.slice_floor for line in judge_slices(rule, rows, settings.confidence))


def absolute(rule: Rule, value: float | None) -> RuleResult:
    """A rule that asks for a value alone."""
    if value is None or not np.isfinite(value):
        return _cannot(rule, f"{rule.metric} cannot be judged on these rows")
    passed = {">": value > rule.value, ">=": value >= rule.value, "<": value < rule.value, "<=": value <= rule.value}
    good = bool(passed[rule.comparison])
    why = f"{rule.metric.upper()} {value:.4g} {'keeps' if good else 'breaks'} {rule.text}"
    return RuleResult(rule=rule.text, candidate=value, champion=None, difference=None, passed=good, why=why)


def _compared(rule: Rule, confidence: float, held_out: _Both) -> RuleResult:
    if held_out.rows and held_out.champion is None:
        return _cannot(rule, "the champion cannot be scored on rows it did not see; nothing to compare")
    own = _estimate(rule.metric, held_out, confidence)
    theirs = _estimate(rule.metric, held_out, confidence, champion=True)
    difference = _paired(rule.metric, held_out, confidence)
    if own is None or theirs is None or difference is None or not np.isfinite(difference.low + difference.high):
        return _cannot(rule, f"{rule.metric} cannot be judged on {held_out.rows} held-out rows")
    good = {
        ">": difference.low > rule.value,
        ">=": difference.low >= rule.value,
        "<": difference.high < rule.value,
        "<=": difference.high <= rule.value,
    }[rule.comparison]
    why = (
        f"{rule.metric.upper()} {own.value:.3f} vs champion {theirs.value:.3f} on the same {held_out.rows:,} rows, "
        f"{difference.value:+.3f} [{difference.low:+.3f}, {difference.high:+.3f}], {_meaning(rule, bool(good))}"
    )
    return RuleResult(
        rule=rule.text,
        candidate=own.value,
        champion=theirs.value,
        difference=difference,
        passed=bool(good),
        why=why,
        detectable=detectable(difference, confidence),
    )


def _meaning(rule: Rule, good: bool) -> str:
    if rule.comparison in (">", "<"):
        return "better beyond chance" if good else "not better beyond chance"
    return f"not worse by {abs(rule.value):g}" if good else f"may be worse by more than {abs(rule.value):g}"


def _cannot(rule: Rule, why: str) -> RuleResult:
    """What cannot be judged does not pass."""
    return RuleResult(
        rule=rule.text, candidate=None, champion=None, difference=None, passed=False, why=f"{rule.text}: {why}"
    )


def _estimate(name: str, rows: _Both, confidence: float, *, champion: bool = False) -> Estimate | None:
    asked = rows.champion if champion else rows.candidate
    return None if asked is None else estimate_of(name, asked, confidence=confidence, clusters=rows.clusters)


def _paired(name: str, rows: _Both, confidence: float) -> Estimate | None:
    if rows.candidate is None or rows.champion is None:
        return None
    return paired_of(name, rows.candidate, rows.champion, confidence=confidence, clusters=rows.clusters)


def table(verdict: Verdict) -> list[dict[str, Any]]:
    """The verdict's lines for a table: rule, candidate, champion, difference, interval, detectable, passed, why."""
    return [
        {
            "rule": item.rule,
            "candidate": item.candidate,
            "champion": item.champion,
            "difference": item.difference.value if item.difference else None,
            "interval": [item.difference.low, item.difference.high] if item.difference else None,
            "detectable": item.detectable,
            "passed": item.passed,
            "why": item.why,
        }
        for item in verdict.results
    ]
