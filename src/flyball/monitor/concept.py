"""Does what a version learnt still hold? Its mature windows against what its gate measured on held-out rows. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtri, stdtrit

from flyball.monitor.streams import Change
from flyball.stats.estimate import Estimate
from flyball.stats.names import GREATER_IS_BETTER

ConceptAnswer = Literal["none", "drift", "cannot_judge"]

#: days of its own from which a version's ordinary days tell how days differ;
MIN_DAYS = 10
#: with fewer, an interval of independent rows is widened by this: on a year of flights it was 1.7 to 3.8 times too narrow.
FEW_DAYS_WIDENING = 3.0

#: the smallest worsening that matters: of a metric between 0 and 1 so much, of any other a share of what was promised.
SMALLEST = 0.01
SMALLEST_SHARE = 0.02
_SHARES = ("log_loss", "brier", "rmse", "mae")

#: judges of one window that may say drift: the window's own test, and two streams.
JUDGES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """What a version's window is held against."""

    #: the primary metric on the held-out rows, at its gate.
    promised: Estimate | None = None
    #: the same of the version's own earlier mature days.
    earlier: tuple[Estimate, ...] = ()
    #: false alarms allowed in a window, over all judges of concept drift together.
    false_alarms: float = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Concept:
    """An answer with its reason."""

    answer: ConceptAnswer
    #: one clause.
    why: str


def judge_concept(primary: str | None, found: Estimate | None, grounds: Grounds, *, confidence: float) -> Concept:
    """Whether the window's metric is worse than promised, beyond chance and by more than does not matter.

    Two-sample: window and held-out rows both err. A day's rows move together: how far the version's own earlier days lie
    apart beyond their rows' chance (the variance between days by the method of moments, as DerSimonian and Laird 1986) is
    added to both; with fewer than MIN_DAYS of them the interval of independent rows is widened instead. Student's t, one-sided,
    at the window's share of the false alarms. `confidence`: of the intervals given.
    """
    if primary is None or grounds.promised is None:
        return Concept(answer="cannot_judge", why="its gate measured nothing on held-out rows")
    if found is None or not np.isfinite(found.low + found.high):
        return Concept(answer="cannot_judge", why="too few labels")
    better = 1 if GREATER_IS_BETTER[primary] else -1
    worse = (grounds.promised.value - found.value) * better
    error, level, null = _error(found, grounds, confidence)
    text = (
        f"{primary} {found.value:.4g} where {grounds.promised.value:.4g} was promised, {worse:.4g} worse"
        f" (chance: up to {level * error:.2g}, by {null})"
    )
    if worse > level * error and worse > _smallest(primary, grounds.promised):
        return Concept(answer="drift", why=text)
    return Concept(answer="none", why=text if worse > 0 else f"{primary} {found.value:.4g}, as promised")


def with_changes(concept: Concept, changes: Sequence[Change]) -> Concept:
    """The answer of window and streams together: a confirmed change is drift, whatever the window's mean still says."""
    confirmed = [item for item in changes if item.confirmed]
    if concept.answer == "drift" or not confirmed:
        return concept
    told = "; ".join(str(item) for item in confirmed)
    return Concept(answer="drift", why=f"{told}; {concept.why}")


def _error(found: Estimate, grounds: Grounds, confidence: float) -> tuple[float, float, str]:
    """Standard error of the difference, the quantile it is held against, and where it comes from."""
    assert grounds.promised is not None
    share = 1 - grounds.false_alarms / JUDGES
    rows = np.hypot(_standard(found, confidence), _standard(grounds.promised, confidence))
    if len(grounds.earlier) < MIN_DAYS:
        return float(rows) * FEW_DAYS_WIDENING, float(ndtri(share)), "rows, widened: too few days of its own yet"
    values = np.asarray([item.value for item in grounds.earlier])
    squares = np.asarray([_standard(item, confidence) ** 2 for item in grounds.earlier])
    between = max(float(values.var(ddof=1) - squares.mean()), 0.0)
    # The held-out rows are as many days as they are windows' worth of rows.
    days = max(grounds.promised.rows / max(found.rows, 1), 1.0)
    error = np.sqrt(rows**2 + between * (1 + 1 / days))
    return float(error), float(stdtrit(len(values) - 1, share)), f"{len(values)} days of its own"


def _standard(item: Estimate, confidence: float) -> float:
    """From an interval's half width; the longer half, as the other may end where the metric does."""
    return float(max(item.value - item.low, item.high - item.value) / ndtri((1 + confidence) / 2))


def _smallest(primary: str, promised: Estimate) -> float:
    return SMALLEST_SHARE * abs(promised.value) if primary in _SHARES else SMALLEST
