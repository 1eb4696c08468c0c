"""The state machine of a rollout, pure: shadow until the evidence is there, then full or aborted.

    queued -> shadow -> full
                     -> aborted
                     -> failed

A direct rollout, and the first version of a model, go to full at once. Whatever does not load and answer is failed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from flyball.project.records import RolloutSettings
from flyball.stats.estimate import Estimate

Status = Literal["queued", "shadow", "full", "aborted", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """One candidate on its way."""

    id: int
    model: str
    candidate: int
    champion: int | None
    status: Status
    started_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What both versions answered to the same rows since the shadow began."""

    #: rows answered by the live version and scored by the shadow.
    paired: int
    #: of these, rows with a mature outcome.
    labelled: int
    #: candidate - champion in the primary metric; None while it cannot be judged.
    difference: Estimate | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What to do with a rollout, and why."""

    to: Literal["wait", "full", "abort"]
    reason: str


def next_move(
    rollout: Rollout,
    evidence: Evidence,
    settings: RolloutSettings,
    *,
    metric: str,
    greater_is_better: bool,
    now: datetime,
) -> Move:
    """The next move of a shadow. Undecided for `max_days` is aborted: a shadow that nobody can judge is not promoted."""
    missing = f"{evidence.labelled:,} of {settings.min_outcomes:,} outcomes needed"
    if evidence.labelled >= settings.min_outcomes and evidence.difference is not None:
        worse = evidence.difference.high < 0 if greater_is_better else evidence.difference.low > 0
        told = (
            f"{evidence.paired:,} paired answers, {evidence.labelled:,} with outcomes: {metric} "
            f"{evidence.difference.value:+.3f} [{evidence.difference.low:+.3f}, {evidence.difference.high:+.3f}]"
        )
        if worse:
            return Move(to="abort", reason=f"worse than v{rollout.champion} beyond chance on {told}")
        return Move(to="full", reason=f"no worse than v{rollout.champion} on {told}")
    if now - rollout.started_at >= timedelta(days=settings.max_days):
        return Move(to="abort", reason=f"undecided for {settings.max_days:g} days: {missing}")
    return Move(to="wait", reason=missing)
