"""A contract from the table a model was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np

from flyball.engine.contract import Contract, Feature, Kind, LabelKind, Task
from flyball.engine.datetimes import instants, text_of, zone_of
from flyball.errors import Mistake

if TYPE_CHECKING:
    import pandas as pd

#: values of a category that a contract remembers.
MAX_LEVELS = 1_000
#: a label's numpy kind -> what it is; all others are text.
_KINDS: Mapping[str, LabelKind] = {"i": "integer", "u": "integer", "f": "number", "b": "boolean"}
#: rows among which the example row is looked for.
_EXAMPLE_ROWS = 1_000


def infer_contract(
    frame: pd.DataFrame,
    *,
    model: str,
    task: Task,
    features: Sequence[str],
    classes: Sequence[str],
    positive: str | None,
    label_kind: LabelKind = "text",
) -> Contract:
    """What `frame`, the rows of training, says about each of `features`, in their order.

    `classes` are the model's, in its own order (`compile.classes_of`), `label_kind` what they are there
    (`label_kind_of`). Raises `Mistake` naming the column that no contract can hold: a duration, a nested value, a
    mixture of text and numbers.
    """
    _check_classes(model, task, tuple(classes), positive)
    _check_features(model, frame, list(features))
    described = tuple(_feature(name, frame[name]) for name in features)
    return Contract(
        model=model,
        task=task,
        features=described,
        classes=tuple(classes),
        positive=positive if task == "binary" else None,
        example=_example(frame, described),
        label_kind=label_kind,
    )


def label_kind_of(fitted: Any) -> LabelKind:
    """What a fitted classifier's own labels are; "text" for a regressor."""
    return kind_of_labels(getattr(fitted, "classes_", ()))


def kind_of_labels(labels: Iterable[Any]) -> LabelKind:
    """What these labels are; "text" where there are none, or of several kinds."""
    kinds = {_KINDS.get(np.asarray(label).dtype.kind, "text") for label in labels}
    return kinds.pop() if len(kinds) == 1 else "text"


def class_text(value: Any) -> str:
    """A class as text, so that 1, 1.0, True in a table and "1" in flyball.toml can meet."""
    if isinstance(value, (bool, np.bool_)):
        return str(int(value))
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value)


def labels_in(target: pd.Series[Any]) -> tuple[Any, ...]:
    """The classes of a model that names none, an ONNX graph: the labels of training, sorted; numbers by size, text by letters.

    scikit-learn's LabelEncoder and numpy.unique sort so too. The graph's columns must be in this order; one column
    alone is the probability of `[model] positive`. Raises `Mistake` for labels of several types.
    """
    found = set(target.dropna().tolist())
    try:
        return tuple(sorted(found))
    except TypeError as error:
        names = ", ".join(sorted({type(label).__name__ for label in found}))
        raise Mistake(f"column {target.name!r} holds labels of type {names}; make them one type") from error


def _check_features(model: str, frame: pd.DataFrame, features: list[str]) -> None:
    if not len(frame):
        raise Mistake(f"model {model!r}: no rows to infer a contract from")
    if unnamed := [name for name in features if not isinstance(name, str)]:
        raise Mistake(f"model {model!r}: features {unnamed} are no text; name the table's columns")
    if repeated := {name for name in features if features.count(name) > 1}:
        raise Mistake(f"model {model!r}: features {', '.join(sorted(repeated))} are named twice")
    if missing := [name for name in features if name not in frame.columns]:
        raise Mistake(
            f"features {', '.join(missing)} are not in the table; it has {', '.join(map(str, frame.columns))}"
        )


def _check_classes(model: str, task: Task, classes: tuple[str, ...], positive: str | None) -> None:
    if task == "regression" and classes:
        raise Mistake(f"model {model!r}: a regression has no classes, got {classes}; is task right in flyball.toml?")
    if task == "binary" and (len(classes) != 2 or positive not in classes):
        raise Mistake(
            f"model {model!r}: a binary task needs two classes with `positive` among them, got {classes} and {positive!r}"
        )
    if task == "multiclass" and len(classes) < 2:
        raise Mistake(f"model {model!r}: a multiclass task needs two classes or more, got {classes}")


def _feature(name: str, series: Any) -> Feature:
    kind = _kind(name, series)
    present = series.dropna()
    if kind == "category":
        present = present[present != ""]
        levels = tuple(str(level) for level in present.value_counts().index[:MAX_LEVELS])
        return Feature(name=name, kind=kind, nullable=len(present) < len(series), levels=levels)
    if kind == "timestamp":
        return _timestamp(name, present, nullable=len(present) < len(series))
    values = present.to_numpy(dtype=np.float64)
    if (np.abs(values) > np.finfo(np.float32).max).any():
        raise Mistake(f"column {name!r} holds infinite values, or beyond 3.4e38; make them missing before training")
    return Feature(
        name=name,
        kind=kind,
        nullable=len(present) < len(series),
        low=float(values.min()) if len(values) else None,
        high=float(values.max()) if len(values) else None,
    )


def _timestamp(name: str, present: Any, *, nullable: bool) -> Feature:
    zone, times = zone_of(name, present), instants(name, present)
    ends = np.array([times.min(), times.max()] if len(times) else [], dtype=times.dtype)
    earliest, latest = text_of(name, ends, zoned=zone is not None) if len(ends) else (None, None)
    return Feature(name=name, kind="timestamp", nullable=nullable, timezone=zone, earliest=earliest, latest=latest)


def _kind(name: str, series: Any) -> Kind:
    import pandas as pd  # slow
    from pandas.api import types

    dtype = series.cat.categories.dtype if series.dtype == "category" else series.dtype
    if types.is_bool_dtype(dtype):
        return "boolean"
    if types.is_integer_dtype(dtype):
        return "integer"
    if types.is_float_dtype(dtype):
        return "number"
    if types.is_datetime64_any_dtype(dtype) and series.dtype != "category":
        return "timestamp"
    if types.is_datetime64_any_dtype(dtype) or types.is_timedelta64_dtype(dtype):
        held = f"categories of {dtype}" if series.dtype == "category" else dtype
        raise Mistake(f"column {name!r} holds {held}; give the model numbers made of it, such as its hours or its age")
    if isinstance(dtype, pd.StringDtype) and series.notna().any():
        return "category"
    return _kind_of_values(name, {type(value) for value in series.dropna()})


def _kind_of_values(name: str, found: set[type]) -> Kind:
    if not found:
        raise Mistake(f"column {name!r} has no value at all in training; leave it out of the features")
    if all(issubclass(item, str) for item in found):
        return "category"
    if all(issubclass(item, bool | np.bool_) for item in found):
        return "boolean"
    if all(issubclass(item, int | np.integer) and item is not bool for item in found):
        return "integer"
    if all(issubclass(item, int | float | np.number) and item is not bool for item in found):
        return "number"
    if len(found) == 1 and issubclass(next(iter(found)), date):  # a datetime and a pandas.Timestamp are dates too
        return "timestamp"
    names = ", ".join(sorted(item.__name__ for item in found))
    raise Mistake(
        f"column {name!r} holds values of type {names}; make it numbers, booleans, text or times before training"
    )


def _example(frame: pd.DataFrame, features: tuple[Feature, ...]) -> dict[str, Any]:
    """The first of the early rows with the fewest missing values."""
    head = frame[[feature.name for feature in features]].head(_EXAMPLE_ROWS)
    missing = head.isna()
    at = int(missing.sum(axis=1).to_numpy().argmin())
    return {
        feature.name: None if missing[feature.name].iloc[at] else _plain(feature, head[feature.name].iloc[[at]])
        for feature in features
    }


def _plain(feature: Feature, series: Any) -> Any:
    """A column's only value, as JSON would hold it."""
    if feature.kind == "timestamp":
        return text_of(feature.name, instants(feature.name, series), zoned=feature.timezone is not None)[0]
    value = series.iloc[0]
    if feature.kind == "category":
        return str(value) or None
    if feature.kind == "boolean":
        return bool(value)
    return int(value) if feature.kind == "integer" else float(value)
