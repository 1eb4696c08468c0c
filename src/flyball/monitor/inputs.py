"""Are live rows still like the training rows? A window's rows of the lake against the version's reference. Pure.

Rows come in batches, each is counted and let go: a window's size costs time, not memory.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flyball.monitor.faults import Broken, broken
from flyball.monitor.windows import Window
from flyball.project.records import MonitorSettings
from flyball.stats.bins import Coded
from flyball.stats.blocks import ANYWHERE, place_of
from flyball.stats.counting import profile_window
from flyball.stats.drift import DriftVerdict, SliceVerdict, judge
from flyball.stats.profile import CONFIDENCE, SCORE, Reference, WindowProfile, merge
from flyball.stats.tally import Tally

#: What is profiled beside the features, of the answers.
ANSWERS = (SCORE, CONFIDENCE)

#: Features named in the one sentence of a decision.
NAMED = 3
#: Features counted at once, one thread each, where a batch has rows enough to be worth it.
THREADS = 2
MANY_ROWS = 10_000


def judge_inputs(
    reference: Reference,
    rows: pa.Table | pa.RecordBatchReader,
    *,
    version: int,
    window: Window | None = None,
    settings: MonitorSettings,
    withheld: Collection[str] = (),
) -> DriftVerdict:
    """The verdict on a window's live rows (version, score and features as in `journal.layout.PREDICTIONS`) against
    `version`'s reference. `window`: when that was; None, and hours and weekdays play no part.

    Features are those of every row; the score only of rows `version` itself answered. Features the journal does not keep
    as they were (`withheld`, and what it shows itself: hashed numbers, dropped columns) are not judged, nor cut by.
    """
    batches = rows.to_batches() if isinstance(rows, pa.Table) else rows
    readable = {name for name in reference.features if name not in withheld and _readable(reference, rows.schema, name)}
    # Slices that nobody asks for, or whose column cannot be read, are not counted.
    cut = {name: one for name, one in reference.slices.items() if name in settings.slices and name in readable}
    profile = profile_rows(replace(reference, slices=cut), batches, version=version, readable=readable)
    wanted = settings.features or tuple(reference.features)
    # Before the first row there are no columns, and nothing is withheld: every feature cannot be judged, and says so.
    # A name the reference does not know goes on to `judge`, which refuses it.
    judged = [name for name in wanted if name in readable or name not in reference.features or profile.rows == 0]
    return judge(
        reference,
        profile,
        false_alarms=settings.false_alarms_per_window,
        features=judged,
        slices=settings.slices,
        place=ANYWHERE if window is None else place_of(reference.blocks, reference.cut, *window),
    )


def broken_inputs(reference: Reference, rows: pa.Table, verdict: DriftVerdict) -> tuple[Broken, ...]:
    """What is broken among the features that alarm in `verdict`, which was given on these rows: first in all of them, then,
    of features that are whole there, in a slice.
    """
    found = list(_broken(reference, rows, verdict))
    for part in verdict.slices:
        if part.features:
            named = {item.feature for item in found}
            found += [item for item in _broken_slice(reference, rows, part) if item.feature not in named]
    return tuple(found)


def _broken(reference: Reference, rows: pa.Table, verdict: DriftVerdict | SliceVerdict) -> tuple[Broken, ...]:
    names = [name for name in verdict.alarming if name not in ANSWERS and _readable(reference, rows.schema, name)]
    if not names:
        return ()
    features = rows["features"].combine_chunks()
    return broken(reference, {name: _plain(features.field(name)) for name in names}, verdict)


def _broken_slice(reference: Reference, rows: pa.Table, part: SliceVerdict) -> Iterator[Broken]:
    """The same, of one slice's rows against one slice's reference."""
    sliced = next(one for one in reference.slices.values() if part.slice in one.slicer.names())
    place = sliced.slicer.names().index(part.slice)
    column = rows["features"].combine_chunks().field(sliced.slicer.column)
    inside = sliced.slicer.places(_values(column, sliced.slicer.of_categories)) == place
    known = replace(reference, features=sliced.part(place, reference.features))
    for item in _broken(known, rows.filter(pa.array(inside)), part):
        yield replace(item, why=f"{part.slice}: {item.why}")


def profile_rows(
    reference: Reference, batches: Iterable[pa.RecordBatch], *, version: int, readable: Collection[str]
) -> WindowProfile:
    """The profile of rows as the lake holds them."""
    named = sorted(set(readable) - set(ANSWERS))
    rest = _part(reference, set(reference.features) - set(ANSWERS))
    answers = _part(reference, set(ANSWERS) & set(readable))
    whole, own = profile_window(rest, {}), profile_window(answers, {})
    with ThreadPoolExecutor(THREADS) as threads:
        for batch in batches:
            apply = threads.map if batch.num_rows >= MANY_ROWS else map
            struct = batch.column("features")
            columns = {name: struct.field(name) for name in named}
            # Features that were not kept have no column: how many rows there are is the batch's to say.
            more = replace(_counted(rest, columns, apply), rows=batch.num_rows)
            whole = merge(whole, more)
            if answers.features:
                mine = pc.equal(batch.column("version"), version)
                cutting = {name: columns[name].filter(mine) for name in reference.slices}
                told = _answers(answers, batch.column("score").filter(mine))
                own = merge(own, _counted(answers, told, apply, cutting=cutting))
    slices = {
        name: tuple(
            replace(one, features={**one.features, **answer.features})
            for one, answer in zip(parts, own.slices[name], strict=True)
        )
        for name, parts in whole.slices.items()
    }
    return replace(whole, features={**whole.features, **own.features}, slices=slices)


def _answers(reference: Reference, score: pa.Array) -> dict[str, pa.Array]:
    """Score and confidence of rows with this score, as far as the reference has them.

    Of two classes the lake holds the probability of the positive one, and the answered class's is that or what is left of
    1. Of several it holds the answered class's itself, and then the reference has no score beside it.
    """
    binary = SCORE in reference.features
    found = {SCORE: score} if binary else {}
    if CONFIDENCE in reference.features:
        found[CONFIDENCE] = pc.max_element_wise(score, pc.subtract(1.0, score)) if binary else score
    return found


def _part(reference: Reference, names: Collection[str]) -> Reference:
    return replace(reference, features={name: known for name, known in reference.features.items() if name in names})


def profile_batches(
    reference: Reference, batches: Iterable[pa.RecordBatch], *, apply: Callable[..., Iterable[Tally]] = map
) -> WindowProfile:
    """The profile of a table with one column a feature, and of each of its slices; other columns are passed over, a feature
    without a column is missing in every row. `apply`: as in `profile_window`.
    """
    whole = profile_window(reference, {})
    cutters = [name for name, sliced in reference.slices.items() if sliced.slicer.levels]
    for batch in batches:
        held = set(batch.schema.names)
        nothing = pa.nulls(batch.num_rows)
        columns = {name: batch.column(name) if name in held else nothing for name in reference.features}
        cutting = {name: batch.column(name) for name in cutters if name in held}
        whole = merge(whole, _counted(reference, columns, apply, cutting=cutting))
    return whole


def _counted(
    reference: Reference,
    columns: dict[str, pa.Array],
    apply: Callable[..., Iterable[Tally]],
    *,
    cutting: dict[str, pa.Array] | None = None,
) -> WindowProfile:
    values = {
        name: _values(column, reference.features[name].bins.kind == "category") for name, column in columns.items()
    }
    cut = None
    if cutting is not None:
        slices = reference.slices
        cut = {name: _values(column, slices[name].slicer.of_categories) for name, column in cutting.items()}
    return profile_window(reference, values, cutting=cut, apply=apply)


def _readable(reference: Reference, schema: pa.Schema, name: str) -> bool:
    """Whether the journal holds the feature as it was: a number that reads as text is hashed, an absent one dropped."""
    if name in ANSWERS:
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
        # Integers too large for a double are rounded: they are looked at as float32.
        column = column.cast(pa.float64(), safe=False)
    values: npt.NDArray[np.generic] = column.to_numpy(zero_copy_only=False)
    return values


def _plain(column: pa.Array) -> npt.NDArray[np.generic]:
    """Numbers as floats with nan for null; text as objects with None."""
    if pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        column = column.cast(pa.float64())
    values: npt.NDArray[np.generic] = column.to_numpy(zero_copy_only=False)
    return values


def told(verdict: DriftVerdict) -> str:
    """One sentence: the strongest alarms with why, and how many features are steady; what cannot be judged, and why."""
    steady = sum(feature.verdict == "steady" for feature in verdict.features)
    blind = sum(feature.verdict == "cannot_judge" for feature in verdict.features)
    rest = f"{steady} steady" + (f", {blind} cannot be judged" if blind else "")
    slices = _told_slices(verdict)
    if verdict.verdict == "cannot_judge":
        return f"{verdict.rows} rows are too few to judge any of {len(verdict.features)} features{slices}"
    if verdict.verdict == "steady":
        return f"inputs as in training: {rest} on {verdict.rows} rows{slices}"
    why = {feature.feature: feature.why for feature in verdict.features}
    named = [f"{name} ({why[name]})" for name in verdict.alarming]
    for part in verdict.slices:
        # What alarms in all rows is said once.
        named += [
            f"{part.slice}: {one.feature} ({one.why})" for one in part.features if one.feature not in verdict.alarming
        ]
    more = len(named) - NAMED
    return f"{'; '.join(named[:NAMED])}{f'; and {more} more' if more > 0 else ''}; {rest}{slices}"


def _told_slices(verdict: DriftVerdict) -> str:
    """How many slices are steady, and which columns could not be cut by."""
    if not verdict.slices:
        return ""
    steady = sum(part.verdict == "steady" for part in verdict.slices)
    blind = [f"{part.slice}: {part.why}" for part in verdict.slices if part.verdict == "cannot_judge"]
    found = f"; {steady} of {len(verdict.slices)} slices steady" if steady else ""
    return found + (f"; cannot judge {'; '.join(blind[:NAMED])}" if blind else "")
