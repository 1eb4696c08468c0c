"""A window of live rows, counted into the reference's frozen bins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from flyball.errors import Mistake
from flyball.stats.bins import Coded
from flyball.stats.profile import FeatureProfile, FeatureReference, Reference, Sliced, WindowProfile
from flyball.stats.slices import NOWHERE
from flyball.stats.tally import Tally, tally_of, tally_window


def profile_window(
    reference: Reference,
    columns: Mapping[str, npt.ArrayLike | Coded],
    *,
    cutting: Mapping[str, npt.ArrayLike | Coded] | None = None,
    apply: Callable[..., Iterable[Tally]] = map,
) -> WindowProfile:
    """Count a window's rows into the reference's bins. A feature that is not among `columns` is missing in every row.

    A million numbers take about 40 ms. `apply` may be the `map` of a thread pool: features are counted apart, mostly
    without the interpreter's lock. `cutting`: the columns that cut the rows into slices, None = those among `columns`.
    """
    rows = common_length(columns)

    def count(known: FeatureReference) -> Tally:
        return tally_window(known.bins, known.ruler, _column(known, columns, rows))

    tallies = apply(count, reference.features.values())
    profiles = {name: _seen(known, one) for (name, known), one in zip(reference.features.items(), tallies, strict=True)}
    cutting = columns if cutting is None else cutting
    slices = {
        name: tuple(_profile_slices(reference, sliced, columns, cutting.get(name), rows))
        for name, sliced in reference.slices.items()
    }
    return WindowProfile(rows=rows, features=profiles, slices=slices)


def _profile_slices(
    reference: Reference,
    sliced: Sliced,
    columns: Mapping[str, npt.ArrayLike | Coded],
    cutting: npt.ArrayLike | Coded | None,
    rows: int,
) -> Iterator[WindowProfile]:
    """A profile for each slice; without the column that cuts all of them are empty."""
    many = len(sliced.slicer.levels)
    places = np.full(rows, NOWHERE) if cutting is None or not rows else sliced.slicer.places(cutting)
    # What is in no slice is counted behind the last.
    index = np.where(places == NOWHERE, many, places)
    known = [one for name, one in reference.features.items() if name in sliced.tallies]
    tallies = {one.name: tally_of(one.bins, one.ruler, _column(one, columns, rows), index, many + 1) for one in known}
    counted = np.bincount(index, minlength=many + 1)
    for place in range(many):
        found = {one.name: _seen(one, tallies[one.name].at(np.array([place]))) for one in known}
        yield WindowProfile(rows=int(counted[place]), features=found)


def _column(known: FeatureReference, columns: Mapping[str, npt.ArrayLike | Coded], rows: int) -> npt.ArrayLike | Coded:
    """A column that is not there is missing in every row."""
    column = columns.get(known.name)
    if column is not None:
        return column
    return Coded(codes=np.full(rows, -1), levels=()) if known.bins.kind == "category" else np.full(rows, np.nan)


def _seen(known: FeatureReference, tally: Tally) -> FeatureProfile:
    return FeatureProfile(name=known.name, bins=known.bins, ruler=known.ruler, tally=tally)


def common_length(columns: Mapping[str, npt.ArrayLike | Coded]) -> int:
    """How many rows the columns have. Raises Mistake where they differ."""
    lengths = {name: len(column) for name, column in columns.items()}  # type: ignore[arg-type]
    if len(set(lengths.values())) > 1:
        raise Mistake(f"columns differ in length: {lengths}; a profile needs one row per value")
    return next(iter(lengths.values()), 0)
