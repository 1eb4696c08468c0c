"""What is measured of a window's rows: by version, variant and slice; from labels, other outcomes, or without labels. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from flyball.monitor.estimators import Estimator, estimate_without_labels
from flyball.registry.slices import cut
from flyball.stats.answers import answers_of
from flyball.stats.estimate import Estimate
from flyball.stats.intervals import estimate_of
from flyball.stats.means import mean_of
from flyball.stats.names import METRIC_NAMES

Basis = Literal["label", "outcome", "estimate"]
Rows = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]

#: Fewer rows with a label than this, and nothing is said about a version.
MIN_LABELS = 50

#: Of a multiclass model the lake holds the answered class, not every class's probability.
_NEED_PROBABILITIES = ("log_loss", "brier", "ece")

UNKNOWN = float("nan")

#: a normal distribution's 97.5 % quantile.
Z_95 = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One value of one version: a row of `metrics_daily`."""

    version: int
    variant: str
    #: `origin=LGA`; "" = every row.
    slice: str
    basis: Basis
    #: a metric's name; of an outcome NAME.mean, NAME.sum, NAME.count.
    metric: str
    value: Estimate
    #: rows that were answered.
    answered: int
    #: whether all that the value rests on has come, as far as the settings know.
    mature: bool


def parts(scored: pa.Table, slices: Sequence[str]) -> Iterator[tuple[int, str, str, pa.Table]]:
    """(version, variant, slice, rows) of every version that answered: all its rows, then slice by slice.

    A slice is a value of a feature; of numbers with many values a quarter of the window's own. A feature that the lake
    does not hold has none.
    """
    answered = pa.TableGroupBy(scored, ["version", "variant"]).aggregate([]).to_pylist()
    cuts = {name: found for name in slices if (found := _cut(scored, name)) is not None}
    for item in sorted(answered, key=lambda item: (item["version"], item["variant"])):
        mine = pc.and_(pc.equal(scored["version"], item["version"]), pc.equal(scored["variant"], item["variant"]))
        yield item["version"], item["variant"], "", scored.filter(mine)
        inside = mine.to_numpy()
        for name, values in cuts.items():
            for value in sorted(set(values[inside].tolist())):
                rows = scored.filter(pa.array(inside & (values == value)))
                yield item["version"], item["variant"], f"{name}={value}", rows


def measure_labels(
    scored: pa.Table,
    *,
    task: str,
    classes: tuple[str, ...] | None,
    confidence: float,
    slices: Sequence[str] = (),
    mature: bool = True,
) -> tuple[Measured, ...]:
    """Every metric of every part with at least MIN_LABELS labels."""
    found: list[Measured] = []
    for version, variant, part, rows in parts(scored, slices):
        y, score = labelled(rows, task, classes)
        if len(y) < MIN_LABELS:
            continue
        answers = answers_of(task, y, score)
        for name in computable(task):
            value = estimate_of(name, answers, confidence=confidence)
            found.append(_measured(version, variant, part, "label", name, value, rows.num_rows, mature))
    return tuple(found)


def measure_without_labels(
    scored: pa.Table,
    estimators: Mapping[int, Estimator],
    *,
    confidence: float,
    slices: Sequence[str] = (),
) -> tuple[Measured, ...]:
    """What each part's metrics would be if scores still meant what they meant on the held-out rows."""
    found: list[Measured] = []
    for version, variant, part, rows in parts(scored, slices):
        if version in estimators and rows.num_rows >= MIN_LABELS:
            values = estimate_without_labels(estimators[version], rows, confidence=confidence)
            found += [
                _measured(version, variant, part, "estimate", name, value, rows.num_rows, True)
                for name, value in values.items()
            ]
    return tuple(found)


def measure_outcome(
    told: pa.Table,
    name: str,
    *,
    binary: bool,
    confidence: float,
    slices: Sequence[str] = (),
    mature: bool = True,
) -> tuple[Measured, ...]:
    """Mean, sum and count of one outcome (`label` of the rows of `journal.lake.scored`), one value a prediction.

    What is no finite number, or `binary` and neither 0 nor 1, is left out. An outcome that came for no row of a part says
    nothing of it, but for its count, 0.
    """
    found: list[Measured] = []
    for version, variant, part, rows in parts(told, slices):
        values = floats(rows["label"])
        values = values[np.isfinite(values)]
        if binary:
            values = values[(values == 0) | (values == 1)]
        mean = mean_of(values, confidence=confidence, binary=binary)
        count = len(values)
        figures = {"count": Estimate(value=count, low=UNKNOWN, high=UNKNOWN, rows=count)}
        if count:
            total = Estimate(value=float(values.sum()), low=mean.low * count, high=mean.high * count, rows=count)
            figures |= {"mean": mean, "sum": total}
        found += [
            _measured(version, variant, part, "outcome", f"{name}.{metric}", value, rows.num_rows, mature)
            for metric, value in figures.items()
        ]
    return tuple(found)


def with_missing_as_zero(scored: pa.Table, *, window_s: float, known_by: datetime) -> pa.Table:
    """`scored` with 0 for a label that did not come within the outcome's window, where that is over at `known_by`."""
    over = pc.less_equal(
        scored["timestamp"], pa.scalar(known_by - timedelta(seconds=window_s), scored["timestamp"].type)
    )
    absent = pc.and_(pc.is_null(scored["label_text"]), over)
    label = pc.if_else(absent, pa.scalar(0.0), scored["label"])
    return scored.set_column(scored.schema.get_field_index("label"), "label", label)


def computable(task: str) -> tuple[str, ...]:
    """The metrics that can be computed from what the lake holds."""
    names = METRIC_NAMES[task]
    return tuple(name for name in names if name not in _NEED_PROBABILITIES) if task == "multiclass" else names


def labelled(rows: pa.Table, task: str, classes: tuple[str, ...] | None) -> Rows:
    """(y, score) as the metrics take them; for multiclass the answered class as certain.

    Rows without a label or score, and with labels that are no value of the task, are left out.
    """
    if task == "multiclass":
        return _classes(rows, classes)
    y, score = (floats(rows[name]) for name in ("label", "score"))
    usable = np.isfinite(y) & np.isfinite(score)
    if task == "binary":
        usable &= (y == 0) | (y == 1)
    return y[usable], score[usable]


def foretold_gap(scored: pa.Table, version: int | None) -> Estimate | None:
    """The share that came true less the share foretold, over a binary model's own rows with a label; 95 % interval."""
    own = scored.filter(pc.equal(scored["version"], version)) if version is not None else scored.slice(0, 0)
    y, score = labelled(own, "binary", None)
    if len(y) < 2:
        return None
    apart = y - score
    value, half = float(apart.mean()), Z_95 * float(apart.std(ddof=1)) / float(np.sqrt(len(apart)))
    return Estimate(value=value, low=value - half, high=value + half, rows=len(apart))


def _classes(rows: pa.Table, classes: tuple[str, ...] | None) -> Rows:
    truth, answer = rows["label_text"].to_pylist(), rows["prediction"].to_pylist()
    known = [(str(true), str(said)) for true, said in zip(truth, answer, strict=True) if true is not None]
    names = classes or tuple(sorted({name for pair in known for name in pair}))
    place = {name: index for index, name in enumerate(names)}
    pairs = [(place[true], place[said]) for true, said in known if true in place and said in place]
    y, said = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return y.astype(np.float64), np.eye(max(len(names), 1))[said]


def floats(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Numbers with nan for null."""
    values: npt.NDArray[np.float64] = column.cast(pa.float64()).to_numpy()
    return values


def _cut(scored: pa.Table, name: str) -> npt.NDArray[np.str_] | None:
    if scored.num_rows == 0 or "features" not in scored.column_names:
        return None
    kept: pa.StructType = scored.schema.field("features").type
    if kept.get_field_index(name) < 0:
        return None
    return cut(scored["features"].combine_chunks().field(name).to_numpy(zero_copy_only=False))


def _measured(
    version: int, variant: str, part: str, basis: Basis, metric: str, value: Estimate, answered: int, mature: bool
) -> Measured:
    return Measured(
        version=version,
        variant=variant,
        slice=part,
        basis=basis,
        metric=metric,
        value=value,
        answered=answered,
        mature=mature,
    )
