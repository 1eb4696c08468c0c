"""Are live rows still like the training rows? A window's rows of the lake against the version's reference. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flyball.monitor.faults import Broken, broken
from flyball.project.records import MonitorSettings
from flyball.stats.drift import DriftVerdict, judge
from flyball.stats.profile import SCORE, Reference, WindowProfile, profile_window

#: Features named in the one sentence of a decision.
NAMED = 3


def judge_inputs(
    reference: Reference, rows: pa.Table, *, version: int, settings: MonitorSettings, withheld: Collection[str] = ()
) -> DriftVerdict:
    """The verdict on a window's live rows (columns as in `journal.layout.PREDICTIONS`) against `version`'s reference.

    Features are those of every row; the score only of rows `version` itself answered. Features the journal does not keep
    as they were (`withheld`, and what it shows itself: hashed numbers, dropped columns) are not judged.
    """
    readable = {name for name in reference.features if name not in withheld and _readable(reference, rows, name)}
    wanted = settings.features or tuple(reference.features)
    # Before the first row there are no columns, and nothing is withheld: every feature cannot be judged, and says so.
    # A name the reference does not know goes on to `judge`, which refuses it.
    judged = [name for name in wanted if name in readable or name not in reference.features or rows.num_rows == 0]
    window = _profile(reference, rows, version, readable)
    return judge(reference, window, false_alarms=settings.false_alarms_per_window, features=judged)


def broken_inputs(reference: Reference, rows: pa.Table, verdict: DriftVerdict) -> tuple[Broken, ...]:
    """What is broken among the features that alarm in `verdict`, which was given on these rows."""
    alarming = [name for name in verdict.alarming if name != SCORE and _readable(reference, rows, name)]
    features = rows["features"].combine_chunks() if alarming else None
    return broken(reference, {name: _values(features.field(name)) for name in alarming}, verdict)  # type: ignore[union-attr]  # there are features where one alarms


def _profile(reference: Reference, rows: pa.Table, version: int, readable: set[str]) -> WindowProfile:
    features = {name: _values(rows["features"].combine_chunks().field(name)) for name in sorted(readable - {SCORE})}
    whole = replace(profile_window(reference, features), rows=rows.num_rows)
    if SCORE not in readable:
        return whole
    own = rows.filter(pc.equal(rows["version"], version))["score"].combine_chunks()
    score = profile_window(replace(reference, features={SCORE: reference.features[SCORE]}), {SCORE: _values(own)})
    return replace(whole, features={**whole.features, **score.features})


def _readable(reference: Reference, rows: pa.Table, name: str) -> bool:
    """Whether the journal holds the feature as it was: a number that reads as text is hashed, an absent one dropped."""
    if name == SCORE:
        return len(rows["score"]) > 0
    kept: pa.StructType = rows.schema.field("features").type
    index: int = kept.get_field_index(name)
    if index < 0:
        return False
    textual: bool = pa.types.is_string(kept.field(index).type)
    return not textual or reference.features[name].bins.kind == "category"


def _values(column: pa.Array) -> npt.NDArray[np.generic]:
    """Numbers as float64 with nan for null; text as objects with None."""
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        column = column.cast(pa.float64())
    values: npt.NDArray[np.generic] = column.to_numpy(zero_copy_only=False)
    return values


def told(verdict: DriftVerdict) -> str:
    """One sentence: the strongest alarms with why, and how many features are steady."""
    steady = sum(feature.verdict == "steady" for feature in verdict.features)
    blind = sum(feature.verdict == "cannot_judge" for feature in verdict.features)
    rest = f"{steady} steady" + (f", {blind} cannot be judged" if blind else "")
    if verdict.verdict == "cannot_judge":
        return f"{verdict.rows} rows are too few to judge any of {len(verdict.features)} features"
    if not verdict.alarming:
        return f"inputs as in training: {rest} on {verdict.rows} rows"
    why = {feature.feature: feature.why for feature in verdict.features}
    named = "; ".join(f"{name} ({why[name]})" for name in verdict.alarming[:NAMED])
    more = len(verdict.alarming) - NAMED
    return f"{named}{f'; and {more} more' if more > 0 else ''}; {rest}"
