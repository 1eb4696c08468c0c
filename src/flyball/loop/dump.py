"""A fitted model's own state as one digest: two that are equal hold the same numbers, whatever their pickles look like.

Boosters say themselves what they hold (LightGBM's text, XGBoost's JSON); anything else is walked the way pickle would
(`__reduce_ex__`, PEP 307), so that estimators, their C parts and their nested steps need no list here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any

import numpy as np

from flyball.engine.graph_file import graph_bytes, is_graph

#: what stands for an object that is being walked already: a structure may refer to itself.
AGAIN = b"again"


def state_digest(model: Any) -> str:
    """64 hex digits over all that the model has learnt and was told."""
    return _Walk().digest(model).hex()


class _Walk:
    """Digests by identity, so that what is shared is walked once; the objects are kept alive for as long."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, bytes]] = {}

    def digest(self, value: Any) -> bytes:
        known = self._known.get(id(value))
        if known is not None:
            return known[1]
        self._known[id(value)] = value, AGAIN
        found = hashlib.sha256(self._parts(value)).digest()
        self._known[id(value)] = value, found
        return found

    def _parts(self, value: Any) -> bytes:
        if isinstance(value, float):
            return b"float " + float(value).hex().encode()
        if value is None or isinstance(value, (bool, int, str, bytes, complex)):
            return f"{type(value).__name__} {value!r}".encode()
        if isinstance(value, (type, FunctionType, BuiltinFunctionType, MethodType)):
            return f"name {value.__module__}.{value.__qualname__}".encode()
        if isinstance(value, (np.ndarray, np.generic)):
            return self._array(np.asarray(value))
        if isinstance(value, Mapping):
            both = [self.digest(key) + self.digest(item) for key, item in value.items()]
            return b"mapping " + b"".join(sorted(both))
        if isinstance(value, (set, frozenset)):
            return b"set " + b"".join(sorted(self.digest(item) for item in value))
        if isinstance(value, (list, tuple)):
            return b"list " + b"".join(self.digest(item) for item in value)
        return self._object(value)

    def _array(self, array: np.ndarray[Any, Any]) -> bytes:
        head = f"array {array.dtype.str} {array.shape} ".encode()
        if array.dtype.names is not None:  # between fields there may be bytes that nobody has set
            return head + b"".join(
                name.encode() + self._array(np.ascontiguousarray(array[name])) for name in array.dtype.names
            )
        if array.dtype.hasobject:
            return head + b"".join(self.digest(item) for item in array.ravel().tolist())
        return head + np.ascontiguousarray(array).tobytes()

    def _object(self, value: Any) -> bytes:
        kind = f"{type(value).__module__}.{type(value).__qualname__} ".encode()
        if is_graph(value):
            return kind + graph_bytes(value)
        if isinstance(value, Path):
            return kind + str(value).encode()
        if hasattr(value, "model_to_string"):  # lightgbm.Booster
            return kind + str(value.model_to_string()).encode()
        if hasattr(value, "save_raw"):  # xgboost.Booster
            return kind + bytes(value.save_raw("json"))
        reduced = value.__reduce_ex__(4)
        if isinstance(reduced, str):
            return kind + reduced.encode()
        function, arguments, *rest = reduced
        state = rest[0] if rest else None
        contents = [list(items) for items in rest[1:3] if items is not None]
        return kind + b"".join(self.digest(item) for item in (function, arguments, state, contents))
