"""Which inputs of a graph take which features, and which of its outputs is the answer. Pure: a graph and a contract.

What could be meant in two ways is refused, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from onnx import TensorProto, helper

from flyball.engine.contract import Contract, Feature
from flyball.engine.session import CATEGORIES, NUMBERS
from flyball.errors import Mistake

#: what an answer is made of; others are labels.
FLOATS = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
_INTEGERS = (TensorProto.INT64, TensorProto.INT32)
_TAKEN = (*FLOATS, *_INTEGERS, TensorProto.BOOL, TensorProto.STRING)
#: names that converters give to a classifier's probabilities.
_PROBABILITIES = ("probabilities", "probability", "output_probability")

_FORMS = (
    "a graph takes one matrix of all features (all numbers, or all text), or one input for each feature, named like it "
    f"and of shape [rows] or [rows, 1], or the two blocks {NUMBERS!r} (float) and {CATEGORIES!r} (string)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One input of the graph."""

    name: str
    #: `TensorProto.DataType`.
    element: int
    #: shape [rows], not [rows, features].
    flat: bool
    #: what its columns are, in their order.
    features: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a graph is asked, and where its answer lies."""

    inputs: tuple[Input, ...]
    #: the output that is the answer, as the graph names it.
    output: str
    #: the tensor that holds it: the output itself, or what its ZipMap is fed with.
    tensor: str
    #: `TensorProto.DataType` of the tensor.
    element: int
    #: the classes its ZipMap names, in the order of the tensor's columns; None: it has no ZipMap.
    zipped: tuple[Any, ...] | None
    #: rows of one call, where the graph was exported for one number of them.
    batch: int | None


def read_graph(model: Any, contract: Contract) -> Reading:
    """Find every feature its input and the answer its output. Raises `Mistake` with what to change."""
    inputs, shapes = _inputs(model.graph, contract)
    output, tensor, element, zipped = _answer(model.graph, contract)
    fixed = {shape[0] for shape in shapes if shape and shape[0]}
    if len(fixed) > 1:
        raise Mistake(f"the graph's inputs take {sorted(fixed)} rows; give all of them one first dimension: rows")
    return Reading(
        inputs=inputs, output=output, tensor=tensor, element=element, zipped=zipped, batch=next(iter(fixed), None)
    )


def inputs_of(graph: Any) -> list[Any]:
    """What must be fed: weights may be listed as inputs too, in old graphs."""
    weights = {item.name for item in graph.initializer} | {item.values.name for item in graph.sparse_initializer}
    return [item for item in graph.input if item.name not in weights]


def identifier(name: str) -> str:
    """The name as exporters write it: `dep delay (min)` is `dep_delay__min_`, `1a` is `_1a`."""
    made = re.sub(r"\W", "_", name, flags=re.ASCII)
    return f"_{made}" if made[:1].isdigit() else made


def _inputs(graph: Any, contract: Contract) -> tuple[tuple[Input, ...], list[tuple[int | None, ...] | None]]:
    found = inputs_of(graph)
    layout = contract.layout
    blocks = {name: names for name, names in ((NUMBERS, layout.numbers), (CATEGORIES, layout.categories)) if names}
    given = {item.name for item in found}
    if given == set(blocks):
        taken: Mapping[str, tuple[str, ...]] = blocks
    elif len(found) == 1 and len(blocks) == 1:
        taken = {found[0].name: layout.names}
    else:
        taken = _by_name(given, layout.names)
    shapes = [_shape(item) for item in found]
    features = {feature.name: feature for feature in contract.features}
    inputs = [
        _input(item, shape, [features[name] for name in taken[item.name]])
        for item, shape in zip(found, shapes, strict=True)
    ]
    return tuple(inputs), shapes


def _by_name(given: Iterable[str], names: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """Input -> its feature; a name may be an identifier, and end in TensorFlow's `:0`."""
    taken: dict[str, tuple[str, ...]] = {}
    unknown = []
    for item in sorted(given):
        plain = item.removesuffix(":0")
        known = [plain] if plain in names else [name for name in names if identifier(name) == plain]
        if len(known) > 1:
            raise Mistake(
                f"the graph's input {item!r} may be any of the features {', '.join(known)}; rename one of them"
            )
        if known:
            taken[item] = (known[0],)
        else:
            unknown.append(item)
    if unknown:
        raise Mistake(
            f"the graph's inputs {', '.join(unknown)} are none of the features {', '.join(names)}; {_FORMS}. "
            "Rename the inputs at export (input_names=), or the columns"
        )
    missing = sorted(set(names) - {name for (name,) in taken.values()})
    if missing:
        raise Mistake(
            f"the graph has no input for the features {', '.join(missing)}; leave them out by `[model] features`. {_FORMS}"
        )
    return taken


def _input(item: Any, shape: tuple[int | None, ...] | None, features: list[Feature]) -> Input:
    names = tuple(feature.name for feature in features)
    flat = shape is not None and len(shape) == 1
    if shape is not None and (len(shape) not in (1, 2) or (flat and len(features) > 1)):
        raise Mistake(f"the graph's input {item.name!r} has {len(shape)} dimensions; {_FORMS}")
    width = shape[1] if shape is not None and len(shape) == 2 else None
    if width not in (None, len(features)):
        raise Mistake(
            f"the graph's input {item.name!r} takes {width} columns, and the contract has {len(names)} features: "
            f"{', '.join(names)} (those of `[model] features`, else of the training table, in that order)"
        )
    element = item.type.tensor_type.elem_type
    for feature in features:
        _require_element(item.name, element, feature)
    return Input(name=item.name, element=element, flat=flat, features=names)


def _require_element(name: str, element: int, feature: Feature) -> None:
    if element not in _TAKEN:
        raise Mistake(
            f"the graph's input {name!r} takes {_word(element)}; make it one of {', '.join(map(_word, _TAKEN))}"
        )
    has = f"the graph's input {name!r} takes {_word(element)}, and column {feature.name!r} holds"
    if feature.kind == "timestamp":
        raise Mistake(f"{has} times, which no graph takes; give it numbers made of them, such as the hour")
    if (element == TensorProto.STRING) is not (feature.kind == "category"):
        what = "text" if feature.kind == "category" else "numbers"
        raise Mistake(f"{has} {what}; change the column in the table, or put the encoding into the graph")
    if element in _INTEGERS and feature.kind == "number":
        raise Mistake(f"{has} fractions, which would be cut off; make the column int64, or the input float")
    if element == TensorProto.BOOL and feature.kind != "boolean":
        raise Mistake(f"{has} {feature.kind}s; make the column bool, or the input float")
    if feature.nullable and (element in _INTEGERS or element == TensorProto.BOOL):
        raise Mistake(f"{has} missing values, which {_word(element)} has not; fill them in, or make the input float")


def _answer(graph: Any, contract: Contract) -> tuple[str, str, int, tuple[Any, ...] | None]:
    """(output, the tensor with its numbers, that tensor's element type, the classes a ZipMap names)."""
    zipmaps = {node.output[0]: node for node in graph.node if node.op_type == "ZipMap"}
    floats = [item.name for item in graph.output if item.type.tensor_type.elem_type in FLOATS or item.name in zipmaps]
    named = [name for name in floats if name in _PROBABILITIES] if contract.classes else []
    chosen = named if len(named) == 1 else floats
    if len(chosen) != 1:
        raise Mistake(
            f"the graph's outputs are {', '.join(_described(item) for item in graph.output)}, of which "
            f"{len(chosen)} could be the answer; keep one float output, or name it 'probabilities'"
            " (onnx.utils.extract_model; with skl2onnx options={'zipmap': False})"
        )
    name = chosen[0]
    if name in zipmaps:
        node = zipmaps[name]
        labels = [label for item in node.attribute for label in helper.get_attribute_value(item)]
        zipped = tuple(label.decode() if isinstance(label, bytes) else label for label in labels)
        return name, node.input[0], TensorProto.FLOAT, zipped
    element = next(item.type.tensor_type.elem_type for item in graph.output if item.name == name)
    return name, name, element, None


def _shape(item: Any) -> tuple[int | None, ...] | None:
    """Its dimensions, None where one is free; None where nothing is said. A sequence or a map is a `Mistake`."""
    if item.type.WhichOneof("value") != "tensor_type":
        raise Mistake(f"the graph's input {item.name!r} is {_described(item)}, no tensor; {_FORMS}")
    tensor = item.type.tensor_type
    if not tensor.HasField("shape"):
        return None
    return tuple(dimension.dim_value or None for dimension in tensor.shape.dim)


def _described(item: Any) -> str:
    kind = item.type.WhichOneof("value") or "unknown"
    what = _word(item.type.tensor_type.elem_type) if kind == "tensor_type" else kind.removesuffix("_type")
    return f"{item.name} ({what})"


def _word(element: int) -> str:
    return str(TensorProto.DataType.Name(element)).lower()
