"""Tensors of the Open Inference Protocol v2, in JSON and in the binary extension, read and written. Pure."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from math import prod
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from flyball.serving.problem import Location, Problem, wrong
from flyball.serving.protocols.native import only

#: little-endian, row-major, without padding. BF16 is the upper half of a float32; BYTES have a length each.
_DTYPES: Mapping[str, str | None] = {
    "BOOL": "u1",
    **{f"UINT{8 * size}": f"<u{size}" for size in (1, 2, 4, 8)},
    **{f"INT{8 * size}": f"<i{size}" for size in (1, 2, 4, 8)},
    "FP16": "<f2",
    "BF16": "<u2",
    "FP32": "<f4",
    "FP64": "<f8",
    "BYTES": None,
}
_FIELDS = frozenset({"name", "shape", "datatype", "parameters", "data"})
#: what may stand in a tensor's parameters; content_type is MLServer's, and says here what the datatype does.
_PARAMETERS = frozenset({"binary_data_size", "content_type"})
_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One input."""

    name: str
    #: (rows,) or (rows, width).
    shape: tuple[int, ...]
    #: flat, row-major: as JSON had them, or an array of numbers, booleans or text.
    values: list[Any] | npt.NDArray[Any]

    def column(self, index: int) -> list[Any] | npt.NDArray[Any]:
        """One value a row."""
        return self.values if len(self.shape) == 1 else self.values[index :: self.shape[1]]


def read_tensors(items: Any, raw: memoryview) -> list[Tensor]:
    """The `inputs` of a request, whose binary data is `raw`. Raises `Problem` (400, 422)."""
    if type(items) is not list or not items:
        raise wrong(("inputs",), "needs a list of tensors")
    tensors = []
    for index, item in enumerate(items):
        tensor, raw = _read(item, raw, ("inputs", index))
        tensors.append(tensor)
    if raw:
        raise Problem("malformed", "the body is longer than its JSON and the binary data that its tensors announce")
    return tensors


def _read(item: Any, raw: memoryview, at: Location) -> tuple[Tensor, memoryview]:
    """One tensor, and the binary data behind it."""
    if type(item) is not dict:
        raise wrong(at, "needs an object with name, shape, datatype and data")
    only(item, _FIELDS, at)
    name, datatype = item.get("name"), item.get("datatype")
    if type(name) is not str:
        raise wrong((*at, "name"), "needs text: a feature's name")
    if type(datatype) is not str or datatype not in _DTYPES:
        raise wrong((*at, "datatype"), f"needs one of {', '.join(_DTYPES)}")
    shape = _shape(item.get("shape"), at)
    parameters = item.get("parameters") or {}
    if type(parameters) is not dict:
        raise wrong((*at, "parameters"), "needs an object")
    only(parameters, _PARAMETERS, (*at, "parameters"))
    size = parameters.get("binary_data_size")
    if size is None:
        return Tensor(name=name, shape=shape, values=_flat(item.get("data"), shape, at)), raw
    if type(size) is not int or not 0 <= size <= len(raw):
        raise Problem("malformed", "binary_data_size of a tensor is no size of data that the body has")
    if "data" in item:
        raise wrong((*at, "data"), "the tensor has binary data already")
    values = _texts(raw[:size], prod(shape), at) if datatype == "BYTES" else _numbers(raw[:size], datatype, shape, at)
    return Tensor(name=name, shape=shape, values=values), raw[size:]


def _shape(value: Any, at: Location) -> tuple[int, ...]:
    if (
        type(value) is not list
        or not 1 <= len(value) <= 2
        or not all(type(size) is int and size >= 0 for size in value)
    ):
        raise wrong((*at, "shape"), "needs [rows] or [rows, columns]")
    return tuple(value)


def _flat(data: Any, shape: tuple[int, ...], at: Location) -> list[Any]:
    """JSON data, nested as the shape says, or flat."""
    if type(data) is not list:
        raise wrong((*at, "data"), "needs a list of values, or parameters.binary_data_size")
    if len(shape) == 2 and data and set(map(type, data)) == {list}:
        if len(data) != shape[0] or set(map(len, data)) != {shape[1]}:
            raise wrong((*at, "data"), "is not of the shape it says")
        return list(chain.from_iterable(data))
    if len(data) != prod(shape):
        raise wrong((*at, "data"), f"has {len(data)} values, its shape needs {prod(shape)}")
    return data


def _numbers(raw: memoryview, datatype: str, shape: tuple[int, ...], at: Location) -> npt.NDArray[Any]:
    dtype = np.dtype(cast(str, _DTYPES[datatype]))
    if len(raw) != dtype.itemsize * prod(shape):
        raise wrong((*at, "shape"), f"needs {dtype.itemsize * prod(shape)} bytes of {datatype}, got {len(raw)}")
    values: npt.NDArray[Any] = np.frombuffer(raw, dtype)
    if datatype == "BF16":
        return (values.astype("<u4") << 16).view("<f4")
    if datatype == "BOOL":
        if (values > 1).any():
            raise wrong(at, "a BOOL is the byte 0 or 1")
        return values.astype(np.bool_)
    return values


def _texts(raw: memoryview, count: int, at: Location) -> npt.NDArray[np.object_]:
    """Each text has its length in bytes before it."""
    texts: list[str] = []
    start = 0
    while start + _LENGTH.size <= len(raw):
        (length,) = _LENGTH.unpack_from(raw, start)
        end = start + _LENGTH.size + length
        if end > len(raw):
            break
        try:
            texts.append(str(raw[start + _LENGTH.size : end], "utf-8"))
        except UnicodeDecodeError:
            raise wrong((*at, len(texts)), "is not in UTF-8") from None
        start = end
    if start != len(raw) or len(texts) != count:
        raise wrong((*at, "shape"), f"needs {count} texts, each behind its length in 4 bytes")
    array = np.empty(count, dtype=np.object_)
    array[:] = texts
    return array


def write_tensor(name: str, values: npt.NDArray[Any], *, binary: bool) -> tuple[dict[str, Any], bytes]:
    """An output of floats or texts as it stands in an answer's JSON, and its binary data."""
    datatype = "BYTES" if values.dtype.kind == "O" else "FP64"
    tensor = {"name": name, "shape": values.shape, "datatype": datatype}
    if not binary:
        return {**tensor, "data": values.ravel().tolist()}, b""
    raw = _lengths_and_texts(values.tolist()) if datatype == "BYTES" else values.astype("<f8").tobytes()
    return {**tensor, "parameters": {"binary_data_size": len(raw)}}, raw


def _lengths_and_texts(texts: Sequence[str]) -> bytes:
    encoded = [text.encode() for text in texts]
    return b"".join(chain.from_iterable((_LENGTH.pack(len(text)), text) for text in encoded))
