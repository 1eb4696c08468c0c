"""A version's input contract: which columns it takes, of which kind, what was seen in training.

Pure. Checking rows against it is `engine.check`; running the model is `engine.session`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from operator import itemgetter
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from flyball.engine.timestamps import Spelling

Kind = Literal["number", "integer", "boolean", "category", "timestamp"]
Task = Literal["binary", "multiclass", "regression"]
#: what the fitted model's own class labels are.
LabelKind = Literal["text", "integer", "number", "boolean"]

#: name -> one array per feature, all of one length: float32 for number, integer and boolean (NaN = missing),
#: object arrays of str for category and timestamp (missing = ""), the latter in the spelling of `engine.timestamps`.
Columns = Mapping[str, npt.NDArray[Any]]

#: kinds that travel as text.
_TEXTS: frozenset[Kind] = frozenset({"category", "timestamp"})

_LABELS: Mapping[LabelKind, Callable[[str], str | int | float | bool]] = {
    "text": str,
    "integer": int,
    "number": float,
    "boolean": frozenset({"True", "1"}).__contains__,
}

#: takes some values out of a row (a record, or a list), in a fixed order.
Pick = Callable[[Any], tuple[Any, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One input column."""

    name: str
    kind: Kind
    #: whether training saw missing values; a missing value where training saw none is a violation.
    nullable: bool
    #: range seen in training (numbers); outside it is answered and counted, not refused.
    low: float | None = None
    high: float | None = None
    #: values seen in training (categories), most frequent first, at most 1,000; others are answered, as unseen.
    levels: tuple[str, ...] = ()
    #: zone of a timestamp's column in training, by name; None: it had none, and its texts have none.
    timezone: str | None = None
    #: range seen in training (timestamps), in the spelling of `engine.timestamps`.
    earliest: str | None = None
    latest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What a version accepts and what it answers."""

    model: str
    task: Task
    features: tuple[Feature, ...]
    #: class labels in the model's own order (binary: exactly two), as text; empty for regression.
    classes: tuple[str, ...]
    #: the class whose probability a binary model answers.
    positive: str | None
    #: one row that satisfies the contract, for docs and OpenAPI.
    example: Mapping[str, Any]
    #: what `classes` are in the model itself.
    label_kind: LabelKind = "text"
    #: where each feature lies in a `Table`; follows from `features`.
    layout: Layout = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layout", Layout.of(self.features))

    def names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)

    def labels(self) -> tuple[str | int | float | bool, ...]:
        """`classes` as the model's own `predict` answers them."""
        return tuple(_LABELS[self.label_kind](text) for text in self.classes)

    def to_json(self) -> dict[str, Any]:
        features = [{item.name: getattr(feature, item.name) for item in fields(Feature)} for feature in self.features]
        return {
            "model": self.model,
            "task": self.task,
            "features": features,
            "classes": self.classes,
            "positive": self.positive,
            "example": dict(self.example),
            "label_kind": self.label_kind,
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Contract:
        features = tuple(Feature(**{**item, "levels": tuple(item["levels"])}) for item in value["features"])
        return Contract(**{**value, "features": features, "classes": tuple(value["classes"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The two blocks of a table, and the order of names within each: the order of the contract."""

    names: tuple[str, ...]
    #: number, integer and boolean features: the columns of `Table.numbers`.
    numbers: tuple[str, ...]
    #: category and timestamp features: the columns of `Table.categories`.
    categories: tuple[str, ...]
    #: name -> (is a number, column of its block).
    place: Mapping[str, tuple[bool, int]]
    #: columns of `Table.numbers` that hold integers, and those that hold booleans.
    integers: npt.NDArray[np.intp]
    booleans: npt.NDArray[np.intp]
    #: columns of `Table.categories` that hold timestamps, and what their texts must be.
    timestamps: tuple[tuple[int, Spelling], ...]
    #: shape (numbers,) and (categories,): which columns may be missing.
    numbers_nullable: npt.NDArray[np.bool_]
    categories_nullable: npt.NDArray[np.bool_]
    #: a record's numbers and its categories.
    of_record: tuple[Pick, Pick]
    #: the same of a list in the contract's order.
    of_list: tuple[Pick, Pick]
    #: of a row's numbers, those that are booleans and those that are not.
    of_numbers: tuple[Pick, Pick]

    @staticmethod
    def of(features: tuple[Feature, ...]) -> Layout:
        numbers = [feature for feature in features if feature.kind not in _TEXTS]
        categories = [feature for feature in features if feature.kind in _TEXTS]
        place = {feature.name: (True, index) for index, feature in enumerate(numbers)}
        place |= {feature.name: (False, index) for index, feature in enumerate(categories)}
        names = tuple(feature.name for feature in features)
        number_names = tuple(feature.name for feature in numbers)
        category_names = tuple(feature.name for feature in categories)
        booleans = [index for index, feature in enumerate(numbers) if feature.kind == "boolean"]
        return Layout(
            names=names,
            numbers=number_names,
            categories=category_names,
            place=place,
            integers=np.array([i for i, feature in enumerate(numbers) if feature.kind == "integer"], dtype=np.intp),
            booleans=np.array(booleans, dtype=np.intp),
            timestamps=tuple(
                (index, Spelling.of(feature.timezone, feature.earliest, feature.latest))
                for index, feature in enumerate(categories)
                if feature.kind == "timestamp"
            ),
            numbers_nullable=np.array([feature.nullable for feature in numbers], dtype=np.bool_),
            categories_nullable=np.array([feature.nullable for feature in categories], dtype=np.bool_),
            of_record=(pick(number_names), pick(category_names)),
            of_list=(
                pick([names.index(name) for name in number_names]),
                pick([names.index(n) for n in category_names]),
            ),
            of_numbers=(pick(booleans), pick([index for index in range(len(numbers)) if index not in booleans])),
        )

    def of_columns(self, columns: Sequence[str]) -> tuple[Pick, Pick]:
        """A list's numbers and categories, where the list is in the order of `columns`."""
        if tuple(columns) == self.names:
            return self.of_list
        at = {name: index for index, name in enumerate(columns)}
        return pick([at[name] for name in self.numbers]), pick([at[name] for name in self.categories])


def pick(keys: Sequence[Any]) -> Pick:
    """`itemgetter(*keys)`, but always giving a tuple."""
    if len(keys) > 1:
        return itemgetter(*keys)
    return partial(_few, tuple(keys))


def _few(keys: tuple[Any, ...], row: Any) -> tuple[Any, ...]:
    return tuple(row[key] for key in keys)


class Table(Mapping[str, npt.NDArray[Any]]):
    """Columns held as two blocks, the form the model's graph takes; a column is a view, made when asked for.

    `numbers` is float32 of shape (rows, number features), `categories` object of shape (rows, category features);
    both are C-contiguous.
    """

    __slots__ = ("categories", "layout", "numbers")

    def __init__(self, layout: Layout, numbers: npt.NDArray[np.float32], categories: npt.NDArray[np.object_]) -> None:
        self.layout = layout
        self.numbers = numbers
        self.categories = categories

    @property
    def rows(self) -> int:
        return len(self.numbers)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        is_number, index = self.layout.place[name]
        return self.numbers[:, index] if is_number else self.categories[:, index]

    def __iter__(self) -> Iterator[str]:
        return iter(self.layout.names)

    def __len__(self) -> int:
        return len(self.layout.names)


def rows_of(table: Table, start: int, stop: int) -> Table:
    """Rows `start` up to `stop`, as views."""
    return Table(table.layout, table.numbers[start:stop], table.categories[start:stop])


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A version's answer to n rows."""

    #: shape (n,): binary: probability of the positive class; multiclass: class label (str); regression: value.
    prediction: npt.NDArray[Any]
    #: shape (n,), float64: binary: the same probability; multiclass: highest probability; regression: the value.
    score: npt.NDArray[np.float64]
    #: shape (n, classes), float64; None for regression.
    probabilities: npt.NDArray[np.float64] | None
