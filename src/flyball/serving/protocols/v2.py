"""Open Inference Protocol v2: JSON, and the binary tensor extension as Triton's clients speak it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from flyball.engine.arrays import columns_from_arrays
from flyball.engine.check import Violation
from flyball.engine.contract import Columns, Contract, Feature, Prediction
from flyball.serving.answer import Answer
from flyball.serving.problem import Location, Problem, wrong
from flyball.serving.protocols import schemas
from flyball.serving.protocols.dialect import Described, Encode, Schema
from flyball.serving.protocols.native import Asked, only, violated
from flyball.serving.protocols.reading import columns_of_split, json_object, keys_and_times, row_count
from flyball.serving.protocols.tensors import Tensor, read_tensors, write_tensor
from flyball.serving.requests import Headers

#: the tensor that holds all features of a model that takes numbers only.
MATRIX = "inputs"
PREDICTIONS = "predictions"
PROBABILITIES = "probabilities"
BINARY = b"application/octet-stream"
JSON_LENGTH = b"inference-header-content-length"

_FIELDS = frozenset({"id", "inputs", "outputs", "parameters"})
_OUTPUT_FIELDS = frozenset({"name", "parameters"})
_OUTPUT_PARAMETERS = frozenset({"binary_data", "content_type"})
#: request parameters of Triton's and MLServer's clients that change nothing here, or are read elsewhere.
_PASSED = frozenset({"binary_data_output", "content_type", "priority", "timeout"})
_NEEDS = 'send {"inputs": [{"name", "shape", "datatype", "data"}, ...]}, one tensor for each feature'
_DIGITS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How an answer is wanted."""

    model: str
    id: str | None
    #: output -> whether in binary.
    outputs: Mapping[str, bool]


def decode(body: bytes, headers: Headers, contract: Contract, now_s: float) -> tuple[Asked, Encode]:
    """One tensor a feature, of shape [n] or [n, 1]; or one of shape [n, features] for a model of numbers only."""
    length = _json_length(body, headers)
    value = json_object(body[:length], headers, _NEEDS)
    only(value, _FIELDS, ())
    wish = _wish(contract, value)
    columns = _columns(contract, read_tensors(value.get("inputs"), memoryview(body)[length:]))
    rows = row_count(columns)
    keys, times = keys_and_times(value.get("parameters"), rows, now_s, ("parameters",), _PASSED)
    return Asked(columns, rows, keys, times), partial(encode, wish)


def encode(wish: Wish, prediction: Prediction, version: int, _ids: Sequence[str]) -> Answer:
    """The outputs wished for; binary data follows the JSON, whose length a header tells."""
    values: dict[str, npt.NDArray[Any]] = {PREDICTIONS: prediction.prediction}
    if prediction.probabilities is not None:
        values[PROBABILITIES] = prediction.probabilities
    written = [write_tensor(name, values[name], binary=binary) for name, binary in wish.outputs.items()]
    answer: dict[str, Any] = {"model_name": wish.model, "model_version": str(version)}
    if wish.id is not None:
        answer["id"] = wish.id
    answer["outputs"] = [tensor for tensor, _ in written]
    text = orjson.dumps(answer)
    if not any(wish.outputs.values()):
        return Answer(body=text)
    raw = b"".join(raw for _, raw in written)
    return Answer(body=text + raw, content_type=BINARY, headers=[(JSON_LENGTH, str(len(text)).encode())])


def metadata(contract: Contract, version: int) -> dict[str, Any]:
    """What a client asks before its first request; -1 is the number of rows."""
    outputs = [{"name": PREDICTIONS, "datatype": _says(contract), "shape": [-1]}]
    if contract.task == "multiclass":
        outputs.append({"name": PROBABILITIES, "datatype": "FP64", "shape": [-1, len(contract.classes)]})
    return {
        "name": contract.model,
        "versions": [str(version)],
        "platform": "flyball",
        "inputs": [
            {"name": item.name, "datatype": schemas.datatype(item), "shape": [-1]} for item in contract.features
        ],
        "outputs": outputs,
    }


def describe(contract: Contract) -> Described:
    example = {"inputs": [_example(contract, feature) for feature in contract.features]}
    tensor: Schema = {
        "type": "object",
        "properties": {
            "name": {"enum": [*contract.names(), *([MATRIX] if _takes_matrix(contract) else [])]},
            "shape": {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1, "maxItems": 2},
            "datatype": {"type": "string"},
            "parameters": {"type": "object"},
            "data": {"type": "array"},
        },
        "required": ["name", "shape", "datatype"],
        "additionalProperties": False,
    }
    output = {
        "type": "object",
        "properties": {"name": {"enum": list(_outputs(contract))}, "parameters": {"type": "object"}},
        "required": ["name"],
        "additionalProperties": False,
    }
    request: Schema = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "inputs": {"type": "array", "items": tensor, "minItems": 1},
            "outputs": {"type": "array", "items": output},
            "parameters": {"type": "object", "properties": schemas.event()},
        },
        "required": ["inputs"],
        "additionalProperties": False,
    }
    answer: Schema = {
        "type": "object",
        "properties": {
            "model_name": {"const": contract.model},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "outputs": {"type": "array", "items": {"type": "object"}},
        },
        "required": ["model_name", "model_version", "outputs"],
    }
    return Described(
        requests={"application/json": (request, example)},
        answers={"application/json": answer, "application/octet-stream": {}},
        says=schemas.says(contract),
        note=_note(contract),
    )


def _note(contract: Contract) -> str:
    matrix = (
        f" Or one tensor of all features in the order above, of shape [n, {len(contract.features)}], named `{MATRIX}`."
        if _takes_matrix(contract)
        else ""
    )
    classes = (
        f" `{PROBABILITIES}` are in the order {', '.join(contract.classes)}." if contract.task == "multiclass" else ""
    )
    return (
        "One tensor a feature, of shape [n] or [n, 1], in JSON or binary (BYTES for text, NaN or an empty text for a"
        f" missing value).{matrix} `parameters` may hold `key` and `timestamp`.{classes}"
    )


def _json_length(body: bytes, headers: Headers) -> int:
    """How much of the body is JSON; the rest is binary data."""
    given = headers.get(JSON_LENGTH)
    if given is None:
        return len(body)
    if not given.isdigit() or len(given) > _DIGITS or int(given) > len(body):
        raise Problem("malformed", "Inference-Header-Content-Length is not the length of the JSON in this body")
    return int(given)


def _wish(contract: Contract, value: Mapping[str, Any]) -> Wish:
    given = value.get("id")
    if given is not None and type(given) is not str:
        raise wrong(("id",), "needs text")
    parameters = value.get("parameters")
    binary = _flag(parameters, "binary_data_output", ("parameters",)) or False
    there = _outputs(contract)
    asked = value.get("outputs")
    if not asked:
        return Wish(model=contract.model, id=given, outputs=dict.fromkeys(there, binary))
    if type(asked) is not list:
        raise wrong(("outputs",), "needs a list of objects with a name")
    outputs: dict[str, bool] = {}
    for index, item in enumerate(asked):
        at = ("outputs", index)
        if type(item) is not dict or item.get("name") not in there:
            raise wrong((*at, "name"), f"needs one of {', '.join(there)}")
        only(item, _OUTPUT_FIELDS, at)
        own = item.get("parameters")
        flag = _flag(own, "binary_data", (*at, "parameters"))
        if own:
            only(own, _OUTPUT_PARAMETERS, (*at, "parameters"))
        outputs[item["name"]] = binary if flag is None else flag
    return Wish(model=contract.model, id=given, outputs=outputs)


def _flag(parameters: Any, name: str, at: Location) -> bool | None:
    if parameters is None:
        return None
    if type(parameters) is not dict:
        raise wrong(at, "needs an object")
    flag = parameters.get(name)
    if flag is not None and type(flag) is not bool:
        raise wrong((*at, name), "needs true or false")
    return flag


def _columns(contract: Contract, tensors: list[Tensor]) -> Columns:
    columns = _named(contract, tensors)
    if len(set(map(len, columns.values()))) > 1:
        raise wrong(("inputs",), "the tensors differ in their number of rows")
    arrays = {name: column for name, column in columns.items() if isinstance(column, np.ndarray)}
    if len(arrays) < len(columns):
        lists = [column.tolist() if isinstance(column, np.ndarray) else column for column in columns.values()]
        return columns_of_split(contract, list(columns), list(map(list, zip(*lists, strict=True))), ("inputs",))
    try:
        return columns_from_arrays(contract, arrays)
    except Violation as violation:
        raise violated(violation) from None


def _named(contract: Contract, tensors: list[Tensor]) -> Mapping[str, list[Any] | npt.NDArray[Any]]:
    """Name -> one value a row."""
    first = tensors[0]
    if len(tensors) == 1 and _is_matrix(contract, first):
        return {name: first.column(index) for index, name in enumerate(contract.names())}
    twice = [name for name, times in Counter(tensor.name for tensor in tensors).items() if times > 1]
    if twice:
        raise wrong(("inputs",), f"{twice[0][:64]!r} is named twice")
    for index, tensor in enumerate(tensors):
        if len(tensor.shape) == 2 and tensor.shape[1] != 1:
            width = len(contract.features)
            also = f"; all {width} features together: [rows, {width}]" if _takes_matrix(contract) else ""
            raise wrong(("inputs", index, "shape"), f"of one feature, needs [rows] or [rows, 1]{also}")
    return {tensor.name: tensor.column(0) for tensor in tensors}


def _is_matrix(contract: Contract, tensor: Tensor) -> bool:
    """Whether all features are in it. Clients name it as they like: `predict`, `input-0`, `inputs`."""
    width = len(contract.features)
    named = tensor.name == MATRIX or (width > 1 and len(tensor.shape) == 2)
    fits = len(tensor.shape) == 2 and tensor.shape[1] == width
    return _takes_matrix(contract) and fits and named and tensor.name not in contract.layout.place


def _takes_matrix(contract: Contract) -> bool:
    return not contract.layout.categories


def _outputs(contract: Contract) -> tuple[str, ...]:
    return (PREDICTIONS, PROBABILITIES) if contract.task == "multiclass" else (PREDICTIONS,)


def _says(contract: Contract) -> str:
    return "BYTES" if contract.task == "multiclass" else "FP64"


def _example(contract: Contract, feature: Feature) -> dict[str, Any]:
    return {
        "name": feature.name,
        "shape": [1],
        "datatype": schemas.datatype(feature),
        "data": [contract.example.get(feature.name)],
    }
