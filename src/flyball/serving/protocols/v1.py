"""KServe V1 and TensorFlow Serving's `:predict`, and Vertex AI's predict route, which is the same.

`instances` (rows) are answered by `predictions`, a columnar `inputs` by `outputs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import orjson

from flyball.engine.contract import Contract, Prediction
from flyball.serving.answer import Answer
from flyball.serving.problem import wrong
from flyball.serving.protocols import schemas
from flyball.serving.protocols.dialect import Described, Encode, Schema
from flyball.serving.protocols.native import Asked, only
from flyball.serving.protocols.reading import (
    columns_of_lists,
    columns_of_rows,
    json_object,
    keys_and_times,
    row_count,
)
from flyball.serving.requests import Headers

_FIELDS = frozenset({"instances", "inputs", "parameters", "signature_name"})
#: the one signature there is.
SIGNATURE = "serving_default"

#: a datatype as v2 calls it -> as TensorFlow does.
_DTYPES = {"BYTES": "DT_STRING", "FP32": "DT_FLOAT", "INT64": "DT_INT64", "BOOL": "DT_BOOL"}
_NEEDS = 'send {"instances": [{feature: value, ...}, ...]}'


def decode(body: bytes, headers: Headers, contract: Contract, now_s: float) -> tuple[Asked, Encode]:
    """`instances`: a list of objects, lists or values. `inputs`: an object of lists (or, as KServe has it, the same)."""
    value = json_object(body, headers, _NEEDS)
    only(value, _FIELDS, ())
    if ("instances" in value) == ("inputs" in value):
        raise wrong((), f"needs either 'instances' or 'inputs'; {_NEEDS}")
    if value.get("signature_name") not in (None, "", SIGNATURE):
        raise wrong(("signature_name",), f"there is one signature, {SIGNATURE}; leave it out")
    name = "instances" if "instances" in value else "inputs"
    given = value[name]
    columnar = name == "inputs" and type(given) is dict
    if columnar:
        columns = columns_of_lists(contract, given, (name,))
    elif type(given) is list:
        columns = columns_of_rows(contract, given, (name,))
    else:
        raise wrong((name,), "needs a list, one item a row" + (", or an object of lists" if name == "inputs" else ""))
    rows = row_count(columns)
    keys, times = keys_and_times(value.get("parameters"), rows, now_s, ("parameters",))
    return Asked(columns, rows, keys, times), partial(encode, columnar)


def encode(columnar: bool, prediction: Prediction, _version: int, _ids: Sequence[str]) -> Answer:
    """One prediction a row; of a multiclass model, its class and all probabilities."""
    values: Any = prediction.prediction.tolist()
    if _is_multiclass(prediction):
        assert prediction.probabilities is not None  # only a regression has none
        rest = prediction.probabilities.tolist()
        if columnar:
            values = {"class": values, "probabilities": rest}
        else:
            values = [{"class": one, "probabilities": row} for one, row in zip(values, rest, strict=True)]
    return Answer(body=orjson.dumps({"outputs" if columnar else "predictions": values}))


def metadata(contract: Contract, version: int) -> dict[str, Any]:
    """TensorFlow Serving's: one signature, a tensor for each feature of a columnar `inputs`, and the `outputs` to it."""
    outputs = {"predictions": ("DT_DOUBLE", [-1])}
    if contract.task == "multiclass":
        outputs = {"class": ("DT_STRING", [-1]), "probabilities": ("DT_DOUBLE", [-1, len(contract.classes)])}
    signature = {
        "inputs": {item.name: _tensor(item.name, _DTYPES[schemas.datatype(item)], [-1]) for item in contract.features},
        "outputs": {name: _tensor(name, *kind) for name, kind in outputs.items()},
        "method_name": "tensorflow/serving/predict",
    }
    return {
        "model_spec": {"name": contract.model, "signature_name": "", "version": str(version)},
        "metadata": {
            "signature_def": {
                "@type": "type.googleapis.com/tensorflow.serving.SignatureDefMap",
                "signature_def": {SIGNATURE: signature},
            }
        },
    }


def describe(contract: Contract) -> Described:
    example = dict(contract.example)
    instances = {
        "type": "array",
        "items": {"oneOf": [schemas.row(contract), schemas.values(contract)]},
        "minItems": 1,
    }
    lists = schemas.columns(contract)
    request: Schema = {
        "type": "object",
        "properties": {
            "instances": instances,
            "inputs": {"oneOf": [lists, instances]},
            "parameters": schemas.parameters(),
            "signature_name": {"const": SIGNATURE},
        },
        "oneOf": [{"required": ["instances"]}, {"required": ["inputs"]}],
        "additionalProperties": False,
    }
    item = schemas.prediction(contract)
    if contract.task == "multiclass":
        item = {"type": "object", "properties": {"class": item, "probabilities": schemas.probabilities()}}
    answer: Schema = {
        "type": "object",
        "properties": {"predictions": {"type": "array", "items": item}, "outputs": {}},
        "oneOf": [{"required": ["predictions"]}, {"required": ["outputs"]}],
    }
    note = (
        "Rows are objects, or lists in the order of the features below. A columnar `inputs` is answered by `outputs`."
        " `parameters` may hold `key` and `timestamp`, one for all rows or a list with one for each."
    )
    return Described(
        requests={"application/json": (request, {"instances": [example]})},
        answers={"application/json": answer},
        says=schemas.says(contract),
        note=note,
    )


def _tensor(name: str, dtype: str, shape: Sequence[int]) -> dict[str, Any]:
    """A TensorInfo as protobuf's JSON has it: 64 bit integers are texts; -1 is the number of rows."""
    dim = [{"size": str(size), "name": ""} for size in shape]
    return {"dtype": dtype, "tensor_shape": {"dim": dim, "unknown_rank": False}, "name": name}


def _is_multiclass(prediction: Prediction) -> bool:
    return prediction.prediction.dtype.kind == "O"
