"""Evidence for a rollout: the rows that the live version answered and the shadow scored too, with what came true."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

import flyball.journal.lake as lake
from flyball.rollout.state import Evidence, Rollout
from flyball.stats.estimate import Estimate
from flyball.stats.intervals import paired
from flyball.store import Home

#: fewer days than this say nothing of how days differ.
MIN_DAYS = 5
#: then an interval of independent rows is widened by this: on a year of flights it was 1.7 to 3.8 times too narrow.
FEW_DAYS_WIDENING = 3.0


def gather(
    home: Home,
    rollout: Rollout,
    *,
    task: str,
    metric: str,
    confidence: float,
    now: datetime,
    positive: str | None = None,
) -> Evidence:
    """Paired answers since the shadow began, with outcomes known by `now`. Task must be binary or regression.

    `positive`: of a binary model, the outcome that counts as 1.
    """
    live = lake.scored(home, rollout.model, rollout.started_at, now, known_by=now, positive=positive)
    shadow = lake.scored(home, rollout.model, rollout.started_at, now, known_by=now, role="shadow")
    shadow = shadow.filter(pc.equal(shadow["version"], rollout.candidate)).select(["id", "score"])
    shadow = shadow.rename_columns(["id", "shadow_score"])
    both = live.select(["id", "timestamp", "score", "label"]).join(shadow, "id", join_type="inner")
    mature = both.filter(pc.is_valid(both["label"]))
    return Evidence(
        paired=both.num_rows,
        labelled=mature.num_rows,
        difference=_difference(mature, task=task, metric=metric, confidence=confidence) if mature.num_rows else None,
    )


def _difference(mature: pa.Table, *, task: str, metric: str, confidence: float) -> Estimate:
    """Shadow - live. A day's rows move together: clustered by day, or, with too few days for that, widened."""
    days = _days(mature)
    enough = len(np.unique(days)) >= MIN_DAYS
    found = paired(
        metric,
        task,
        _floats(mature, "label"),
        _floats(mature, "shadow_score"),
        _floats(mature, "score"),
        confidence=confidence,
        clusters=days if enough else None,
    )
    if enough:
        return found
    return replace(
        found,
        low=found.value - FEW_DAYS_WIDENING * (found.value - found.low),
        high=found.value + FEW_DAYS_WIDENING * (found.high - found.value),
    )


def _days(table: pa.Table) -> npt.NDArray[np.int64]:
    """UTC day number of every row."""
    micros = pc.cast(table["timestamp"], pa.timestamp("us", "UTC")).cast(pa.int64())
    return np.asarray(micros.to_numpy(), dtype=np.int64) // 86_400_000_000


def _floats(table: pa.Table, name: str) -> npt.NDArray[np.float64]:
    return np.asarray(table[name].to_numpy(), dtype=np.float64)
