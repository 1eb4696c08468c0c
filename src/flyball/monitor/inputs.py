"""Are live rows still like the training rows? A window's rows of the lake against the version's reference. Pure.

Rows come in batches, each is counted and let go: a window's size costs time, not memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flyball.monitor.faults import Broken, broken
from flyball.project.records import MonitorSettings
from flyball.stats.bins import Coded
from flyball.stats.drift import DriftVerdict, judge
from flyball.stats.profile import SCORE, Reference, WindowProfile, merge, profile_window
from flyball.stats.tally import Tally

#: Features named in the one sentence of a decision.
NAMED = 3
#: Features counted at once, one thread each.
THREADS = 2


def judge_inputs(
    reference: Reference,
    rows: pa.Table | pa.RecordBatchReader,
    *,
    version: int,
    settings: MonitorSettings,
    withheld: Collection[str] = (),
) -> DriftVerdict:
    """The verdict on a window's live rows (version, score and features as in `journal.layout.PREDICTIONS`) against
    `version`'s reference.

    Features are those of every row; the score only of rows `version` itself answered. Features the journal does not keep
    as they were (`withheld`, and what it shows itself: hashed numbers, dropped columns) are not judged.
    """
    batches = rows.to_batches() if isinstance(rows, pa.Table) else rows
    readable = {name for name in reference.features if name not in withheld and _readable(reference, rows.schema, name)}
    window = profile_rows(reference, batches, version=version, readable=readable)
    wanted = settings.features or tuple(reference.features)
    # Before the first row there are no columns, and nothing is withheld: every feature cannot be judged, and says so.
    # A name the reference does not know goes on to `judge`, which refuses it.
    judged = [name for name in wanted if name in readable or name not in reference.features or window.rows == 0]
    return judge(reference, window, false_alarms=settings.false_alarms_per_window, features=judged)


def broken_inputs(reference: Reference, rows: pa.Table, verdict: DriftVerdict) -> tuple[Broken, ...]:
    """What is broken among the features that alarm in `verdict`, which was given on these rows."""
    alarming = [name for name in verdict.alarming if name != SCORE and _readable(reference, rows.schema, name)]
    if not alarming:
        return ()
    features = rows["features"].combine_chunks()
    return broken(reference, {name: _plain(features.field(name)) for name in alarming}, verdict)


def profile_rows(
    reference: Reference, batches: Iterable[pa.RecordBatch], *, version: int, readable: Collection[str]
) -> WindowProfile:
    """The profile of rows as the lake holds them."""
    named = sorted(set(readable) - {SCORE})
    rest = _part(reference, set(reference.features) - {SCORE})
    scored = _part(reference, {SCORE} & set(readable))
    whole, own = profile_window(rest, {}), profile_window(scored, {})
    with ThreadPoolExecutor(THREADS) as threads:
        for batch in batches:
            struct = batch.column("features")
            columns = {name: struct.field(name) for name in named}
            # Features that were not kept have no column: how many rows there are is the batch's to say.
            more = replace(_counted(rest, columns, threads.map), rows=batch.num_rows)
            whole = merge(whole, more)
            if scored.features:
                answered = batch.column("score").filter(pc.equal(batch.column("version"), version))
                own = merge(own, _counted(scored, {SCORE: answered}, threads.map))
    return replace(whole, features={**whole.features, **own.features})


def _part(reference: Reference, names: Collection[str]) -> Reference:
    return replace(reference, features={name: known for name, known in reference.features.items() if name in names})


def profile_batches(reference: Reference, batches: Iterable[pa.RecordBatch]) -> WindowProfile:
    """The profile of a table with one column a feature, such as a Parquet file's; other columns are passed over."""
    whole = profile_window(reference, {})
    with ThreadPoolExecutor(THREADS) as threads:
        for batch in batches:
            columns = {name: batch.column(name) for name in batch.schema.names if name in reference.features}
            whole = merge(whole, _counted(reference, columns, threads.map))
    return whole


def _counted(
    reference: Reference, columns: dict[str, pa.Array], apply: Callable[..., Iterable[Tally]]
) -> WindowProfile:
    values = {
        name: _values(column, reference.features[name].bins.kind == "category") for name, column in columns.items()
    }
    return profile_window(reference, values, apply=apply)


def _readable(reference: Reference, schema: pa.Schema, name: str) -> bool:
    """Whether the journal holds the feature as it was: a number that reads as text is hashed, an absent one dropped."""
    if name == SCORE:
        return True
    kept: pa.StructType = schema.field("features").type
    index: int = kept.get_field_index(name)
    if index < 0:
        return False
    textual: bool = pa.types.is_string(kept.field(index).type)
    return not textual or reference.features[name].bins.kind == "category"


def _values(column: pa.Array, category: bool) -> npt.NDArray[np.generic] | Coded:
    """Numbers as floats with nan for null; categories by their places in a list of levels."""
    if category:
        coded = column if pa.types.is_dictionary(column.type) else column.cast(pa.string()).dictionary_encode()
        codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        return Coded(codes=codes, levels=coded.dictionary.cast(pa.string()).to_pylist())
    if not pa.types.is_floating(column.type):
        column = column.cast(pa.float64())
    values: npt.NDArray[np.generic] = column.to_numpy(zero_copy_only=False)
    return values


def _plain(column: pa.Array) -> npt.NDArray[np.generic]:
    """Numbers as floats with nan for null; text as objects with None."""
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
