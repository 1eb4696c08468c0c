"""The reference and windows: bins, counts, exact merging, JSON."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from flyball.errors import Corrupt, Mistake
from flyball.stats.bins import Coded
from flyball.stats.counting import profile_window
from flyball.stats.fitting import MAX_BLOCKS, fit_reference
from flyball.stats.profile import Reference, WindowProfile, merge
from flyball.stats.profile_file import reference_bytes, reference_from_bytes
from flyball.stats.tally import CHUNK, tally_of, tally_window

RNG_ROWS = 1_000


def fitted(values: object, kind: str = "number", blocks: object = None) -> Reference:
    return fit_reference({"x": values}, {"x": kind}, blocks)  # type: ignore[dict-item,arg-type]


def windowed(reference: Reference, values: object) -> WindowProfile:
    return profile_window(reference, {"x": values})  # type: ignore[dict-item]


def test_bins_are_quantiles_of_the_reference_with_room_beyond_either_end() -> None:
    """1..100 make 20 bins (the first holds 1 to 4, the last 95 to 100) and two empty ones outside."""
    reference = fitted(np.arange(1, 101))
    counts = reference.features["x"].tally.counts[0]
    assert len(counts) == 22
    assert (counts[0], counts[-1], counts.sum()) == (0, 0, 100)
    assert counts[1:-1].tolist() == [4] + [5] * 18 + [6]


def test_rows_below_and_above_the_range_are_counted_apart() -> None:
    """The least and greatest values themselves are inside."""
    window = windowed(fitted(np.arange(1, 101)), [0.5, 1, 100, 100.5, 1e30]).features["x"]
    assert (window.below, window.above, window.n) == (1, 2, 5)


@pytest.mark.parametrize(("value", "bin_"), [(4, 0), (5, 1), (6, 2)])
def test_a_constant_has_one_bin_and_both_sides_of_it_are_seen(value: float, bin_: int) -> None:
    """A constant that becomes another is the plainest drift there is."""
    window = windowed(fitted(np.full(100, 5.0)), [value]).features["x"]
    assert window.counts.tolist() == [int(bin_ == place) for place in range(3)]


def test_a_frequent_greatest_value_has_a_bin_of_its_own() -> None:
    """Visibility is 10 on most days; 9 must not hide behind it."""
    reference = fitted([3, 6, 9, *[10] * 97])
    window = windowed(reference, [9, 9, 10]).features["x"]
    assert window.counts[-2] == 1


def test_nan_infinity_and_nothing_are_missing() -> None:
    """What is no number is counted as missing, and not in the mean."""
    window = windowed(fitted(np.arange(10.0)), [1, math.nan, math.inf, -math.inf, None, 3]).features["x"]
    assert (window.missing, window.n) == (4, 2)
    assert window.mean == pytest.approx(2, abs=1e-5)


def test_numbers_are_binned_alike_in_single_and_double_precision() -> None:
    """Training tables hold 0.1 as double, live rows as single; a border at 0.1 must not tell them apart."""
    values = np.repeat([0.1, 0.2, 0.3], 100)
    reference = fitted(values)
    double, single = windowed(reference, values), windowed(reference, values.astype(np.float32))
    assert double.features["x"].counts.tolist() == single.features["x"].counts.tolist()


def test_levels_are_counted_and_the_unseen_apart() -> None:
    """ "" and None are missing, not levels."""
    reference = fitted(["a", "b", "a", "", None], "category")
    window = windowed(reference, ["a", "a", "z", "", None]).features["x"]
    assert reference.features["x"].bins.levels == ("a", "b")
    assert (window.counts.tolist(), window.missing, window.unseen) == ([2, 0, 0, 1], 2, 1)


def test_rare_levels_share_the_bin_other() -> None:
    """Sixty levels: fifty bins, ten in 'other', a new one unseen."""
    levels = [f"level{i:02d}" for i in range(60) for _ in range(100 - i)]
    window = windowed(fitted(levels, "category"), ["level00", "level59", "new"]).features["x"]
    assert (window.counts[0], window.counts[-2], window.unseen) == (1, 1, 1)


def test_with_too_many_levels_to_name_the_unknown_is_other() -> None:
    """Free text: what was never listed cannot be called unseen."""
    window = windowed(fitted([f"id{i}" for i in range(2_000)], "category"), ["id1999", "new"]).features["x"]
    assert (window.counts[-2], window.unseen) == (2, 0)


def test_a_column_that_is_coded_gives_the_same_reference() -> None:
    """Levels that do not occur, missing rows and the empty text included; in the slices that it cuts, too."""
    random = np.random.default_rng(0)
    codes = random.integers(-1, 4, 5_000)
    levels = ("EWR", "", "JFK", "never", "LGA")
    codes[codes == 3] = 4
    plain = np.array([*levels, None], dtype=object)[codes]
    rest = {"wind": random.normal(size=5_000)}

    def written(origin: object) -> bytes:
        columns = {"origin": origin, **rest}
        kinds = {"origin": "category", "wind": "number"}
        return reference_bytes(fit_reference(columns, kinds, np.arange(5_000) // 500, slices=("origin",)))  # type: ignore[arg-type]

    assert written(Coded(codes=codes, levels=levels)) == written(plain)


def test_counts_are_kept_per_day() -> None:
    """Days 7 and 9; the first row of the tally is for rows of no kept day."""
    reference = fitted([1, 2, math.nan, 2], blocks=[7, 7, 9, 9])
    tally = reference.features["x"].tally
    assert reference.blocks == (7, 9)
    assert (tally.rows.tolist(), tally.missing.tolist()) == ([0, 2, 1], [0, 0, 1])


def test_only_the_newest_days_are_kept_one_by_one() -> None:
    """Older rows stay in the totals."""
    reference = fitted(np.arange(300.0), blocks=np.arange(300) // 2)
    assert reference.blocks == tuple(range(150 - MAX_BLOCKS, 150))
    assert reference.features["x"].tally.rows.tolist() == [60] + [2] * MAX_BLOCKS


def test_profiles_of_parts_merge_to_the_profile_of_the_whole_exactly() -> None:
    """Counts, missing and mean, in any order, huge values included."""
    rng = np.random.default_rng(1)
    reference = fit_reference(
        {"x": rng.normal(size=500), "c": rng.choice(["a", "b"], 500)}, {"x": "number", "c": "category"}, None
    )
    x = np.append(rng.normal(3, 1, 998), [1e30, math.nan])
    c = rng.choice(np.array(["a", "z", ""], dtype=object), 1_000)
    whole = profile_window(reference, {"x": x, "c": c})
    parts = [profile_window(reference, {"x": x[cut], "c": c[cut]}) for cut in np.array_split(np.arange(1_000), 7)]
    for merged in (merge(*parts), merge(*reversed(parts))):
        assert merged.rows == whole.rows
        for name, expected in whole.features.items():
            got = merged.features[name]
            assert (got.counts.tolist(), got.missing) == (expected.counts.tolist(), expected.missing)
            assert got.tally.bends.tolist() == expected.tally.bends.tolist()
        assert merged.features["x"].mean == whole.features["x"].mean


def test_a_column_the_window_does_not_have_is_missing_in_every_row() -> None:
    """A renamed column must not pass for a quiet one."""
    reference = fit_reference({"x": [1, 2], "c": ["a", "b"]}, {"x": "number", "c": "category"}, None)
    window = profile_window(reference, {"x": [1, 2, 3]})
    assert (window.features["c"].missing, window.features["c"].n) == (3, 0)
    assert math.isnan(window.features["c"].mean)


def test_columns_of_different_lengths_are_refused() -> None:
    """Naming the lengths."""
    with pytest.raises(Mistake, match="'a': 2, 'b': 1"):
        fit_reference({"a": [1, 2], "b": [1]}, {"a": "number", "b": "number"}, None)


def test_an_empty_reference_profiles_an_empty_window() -> None:
    """No rows, no error, no number made up."""
    window = windowed(fitted([]), []).features["x"]
    assert (window.n, window.missing) == (0, 0)
    assert math.isnan(window.mean)


def test_json_gives_the_reference_back_and_stays_small() -> None:
    """20 features x 60 days x 1,000 rows in under 200 kB; a window counts the same in both."""
    rng = np.random.default_rng(2)
    columns = {f"f{i}": rng.normal(size=60_000) for i in range(18)}
    columns |= {f"c{i}": rng.choice(np.array(list("abcde")), 60_000) for i in range(2)}
    kinds = {name: "category" if name.startswith("c") else "number" for name in columns}
    reference = fit_reference(columns, kinds, np.repeat(np.arange(60), 1_000))
    text = reference_bytes(reference)
    back = reference_from_bytes(text)
    assert len(text) < 200_000
    assert (back.rows, back.blocks) == (reference.rows, reference.blocks)
    for name, feature in reference.features.items():
        got = back.features[name]
        assert (got.bins, got.ruler) == (feature.bins, feature.ruler)
        assert all(
            (getattr(got.tally, part) == getattr(feature.tally, part)).all() for part in ("counts", "missing", "bends")
        )


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format": 2}', b'{"format": 1, "rows": 1}'])
def test_json_of_another_shape_is_corrupt(content: bytes) -> None:
    """A bundle that cannot be understood is not guessed at."""
    with pytest.raises(Corrupt, match="make the version again"):
        reference_from_bytes(content)


def test_a_window_of_a_thousand_rows_is_profiled_in_milliseconds() -> None:
    """16 numbers: the best of ten under 25 ms, five times the aim, for slow machines."""
    rng = np.random.default_rng(3)
    columns = {f"f{i}": rng.normal(size=RNG_ROWS) for i in range(16)}
    reference = fit_reference(columns, dict.fromkeys(columns, "number"), None)

    def seconds() -> float:
        start = time.perf_counter()
        profile_window(reference, columns)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(10)) < 0.025


def test_categories_by_code_are_counted_as_their_texts() -> None:
    """A level that is in the list and in no row counts for nothing; a negative code is missing."""
    reference = fitted(["a", "b", "a"], "category")
    coded = windowed(reference, Coded(codes=np.array([1, 0, -1, 2]), levels=("a", "b", "new", "idle"))).features["x"]
    told = windowed(reference, ["b", "a", None, "new"]).features["x"]
    assert (coded.counts.tolist(), coded.missing) == (told.counts.tolist(), told.missing) == ([1, 1, 0, 1], 1)


def test_text_in_a_column_of_numbers_is_missing() -> None:
    """One bad value neither spoils its neighbours nor raises."""
    window = windowed(fitted(np.arange(10.0)), ["3", "n/a", 4, None]).features["x"]
    assert (window.n, window.missing) == (2, 2)


@pytest.mark.parametrize("ties", [False, True])
def test_a_window_counted_by_sorting_is_the_same_block_counted_row_by_row(ties: bool) -> None:
    """Frequent ends, both ends crossed, nan and infinity, more rows than are counted at once."""
    rng = np.random.default_rng(4)
    values = rng.normal(size=CHUNK + 100).astype(np.float32)
    values = np.round(np.clip(values, -1, 1)) if ties else values
    known = fitted(values).features["x"]
    rows = np.append(values, np.array([9, -9, 1, math.nan, math.inf, 1e38], dtype=np.float32))
    one = tally_of(known.bins, known.ruler, rows, np.zeros(len(rows), dtype=np.int64), 1)
    other = tally_window(known.bins, known.ruler, rows)
    for part in ("counts", "missing", "deviations", "bends"):
        assert getattr(one, part).tolist() == getattr(other, part).tolist()
