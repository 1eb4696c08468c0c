"""Evidence for a rollout: the rows that the live version answered and the shadow scored too, with what came true."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from flyball.journal import lake
from flyball.rollout.state import Evidence, Rollout
from flyball.stats.intervals import paired
from flyball.store import Home


def gather(home: Home, rollout: Rollout, *, task: str, metric: str, confidence: float, now: datetime) -> Evidence:
    """Paired answers since the shadow began, with outcomes known by `now`. Task must be binary or regression."""
    live = lake.scored(home, rollout.model, rollout.started_at, now, known_by=now)
    shadow = lake.scored(home, rollout.model, rollout.started_at, now, known_by=now, role="shadow")
    shadow = shadow.filter(pc.equal(shadow["version"], rollout.candidate)).select(["id", "score"])
    shadow = shadow.rename_columns(["id", "shadow_score"])
    both = live.select(["id", "score", "label"]).join(shadow, "id", join_type="inner")
    mature = both.filter(pc.is_valid(both["label"]))
    return Evidence(
        paired=both.num_rows,
        labelled=mature.num_rows,
        difference=None
        if mature.num_rows == 0
        else paired(
            metric,
            task,
            _floats(mature, "label"),
            _floats(mature, "shadow_score"),
            _floats(mature, "score"),
            confidence=confidence,
        ),
    )


def _floats(table: pa.Table, name: str) -> np.ndarray:
    return np.asarray(table[name].to_numpy(), dtype=np.float64)
