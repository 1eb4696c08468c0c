"""The gate's second look: is the candidate worse on a part of the rows, though it is good enough on all of them?

The burden of proof lies the other way than in the gate's own rules: a slice is small, so a floor blocks only where the
slice lies below it beyond chance, over all slices together (Holm 1979). A slice that is too small is told, and blocks
nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from flyball.project.rules import Rule
from flyball.registry.records import RuleResult
from flyball.stats.estimate import Estimate
from flyball.stats.intervals import estimate, holm, p_value, paired

#: a slice with fewer rows, or fewer rows of either class, is told and not judged.
LEAST_ROWS = 50
LEAST_OF_CLASS = 10
#: values of a column that become slices of their own, the most frequent ones; all others are one slice.
MOST_SLICES = 50
OTHERS = "(others)"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scored:
    """The held-out rows as the slices need them."""

    task: str
    #: shape (n,): 0/1, class index or value.
    y: npt.NDArray[np.float64]
    #: shape (n,) or (n, classes).
    candidate: npt.NDArray[np.float64]
    champion: npt.NDArray[np.float64] | None
    clusters: npt.NDArray[np.int64] | None
    #: column -> shape (n,): which of its slices each row is in.
    slices: Mapping[str, npt.NDArray[np.str_]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slice:
    column: str
    value: str
    rows: int
    #: one-sided; nan: too small to be judged.
    p: float
    candidate: Estimate
    champion: Estimate | None
    difference: Estimate | None


def judge_slices(rule: Rule, rows: Scored, confidence: float) -> tuple[RuleResult, ...]:
    """`rule` in every slice: a line for each that breaks it beyond chance, or one line that none does.

    Family-wise error over all slices: that of one side of an interval of `confidence`. A rule against the champion is
    no rule where there is none.
    """
    if rule.against_champion and rows.champion is None:
        return ()
    found = [_slice(rule, rows, column, value, confidence) for column, value in _named(rows.slices)]
    level = (1 - confidence) / 2
    adjusted = holm([item.p for item in found])
    broken = sorted(
        ((item, float(p)) for item, p in zip(found, adjusted, strict=True) if p <= level), key=lambda pair: pair[1]
    )
    if broken:
        return tuple(_blocked(rule, item, p, judged=int((~np.isnan(adjusted)).sum())) for item, p in broken)
    return (_clear(rule, rows, found),)


def cut(values: npt.ArrayLike) -> npt.NDArray[np.str_]:
    """Each row's slice, shape (n,): its value; of numbers with more than 20 values its quarter; missing is "(missing)".

    Of more than `MOST_SLICES` values the rarest are one slice.
    """
    import pandas as pd  # slow; whoever has a table has it

    column = pd.Series(np.asarray(values)) if not isinstance(values, pd.Series) else values.reset_index(drop=True)
    numeric = pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype)
    if numeric and column.nunique() > 20:
        column = pd.qcut(column.astype(float), 4, duplicates="drop", precision=3)
    text = column.astype(object).where(column.notna(), None).map(_told)
    kept = text.value_counts().index[:MOST_SLICES]
    return np.asarray(text.where(text.isin(kept), OTHERS).to_numpy(), dtype=np.str_)


def _told(value: object) -> str:
    if value is None:
        return "(missing)"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _named(slices: Mapping[str, npt.NDArray[np.str_]]) -> Iterator[tuple[str, str]]:
    for column, values in slices.items():
        for value in sorted(set(values.tolist())):
            yield column, value


def _slice(rule: Rule, rows: Scored, column: str, value: str, confidence: float) -> _Slice:
    inside = rows.slices[column] == value
    y, candidate = rows.y[inside], rows.candidate[inside]
    champion = None if rows.champion is None else rows.champion[inside]
    clusters = None if rows.clusters is None else rows.clusters[inside]
    against = champion if rule.against_champion else None

    def about(score: npt.NDArray[np.float64]) -> Estimate:
        return estimate(rule.metric, rows.task, y, score, confidence=confidence, clusters=clusters)

    p = float("nan")
    if _enough(rows.task, y):
        side: Literal["below", "above"] = "below" if rule.comparison == ">=" else "above"
        p = p_value(rule.metric, rows.task, y, candidate, against, bound=rule.value, side=side, clusters=clusters)
    return _Slice(
        column=column,
        value=value,
        rows=len(y),
        p=p,
        candidate=about(candidate),
        champion=None if champion is None else about(champion),
        difference=None
        if against is None
        else paired(rule.metric, rows.task, y, candidate, against, confidence=confidence, clusters=clusters),
    )


def _enough(task: str, y: npt.NDArray[np.float64]) -> bool:
    if len(y) < LEAST_ROWS:
        return False
    return task != "binary" or min(int(y.sum()), int(len(y) - y.sum())) >= LEAST_OF_CLASS


def _blocked(rule: Rule, item: _Slice, p: float, *, judged: int) -> RuleResult:
    compared = ""
    if item.difference is not None and item.champion is not None:
        apart = item.difference
        compared = f" vs champion {item.champion.value:.3f}, {apart.value:+.3f} [{apart.low:+.3f}, {apart.high:+.3f}]"
    why = (
        f"{rule.metric.upper()} {item.candidate.value:.3f}{compared} on the {item.rows:,} rows where {item.column} is "
        f"{item.value}: breaks {rule.text} beyond chance (p {p:.2g} over {judged} slices)"
    )
    return RuleResult(
        rule=f"{rule.text} where {item.column} is {item.value}",
        candidate=item.candidate.value,
        champion=item.champion.value if item.champion and rule.against_champion else None,
        difference=item.difference,
        passed=False,
        why=why,
    )


def _clear(rule: Rule, rows: Scored, found: Sequence[_Slice]) -> RuleResult:
    judged = [item for item in found if not np.isnan(item.p)]
    small = len(found) - len(judged)
    told = f", {small} too small to be judged" if small else ""
    columns = ", ".join(rows.slices)
    why = f"no slice of {columns} breaks {rule.text} beyond chance ({len(judged)} judged{told})"
    return RuleResult(
        rule=f"{rule.text} in every slice of {columns}",
        candidate=None,
        champion=None,
        difference=None,
        passed=True,
        why=why,
    )
