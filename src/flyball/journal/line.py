"""Writing the stored line, protocol 1: one JSON object per request, columns not rows. Pure.

`encode_predictions` lies on serving's hot path. Reading is `journal.parse`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import orjson

PROTOCOL = 1

Role = Literal["live", "shadow", "replay"]
Source = Literal["http", "batch", "stream"]
Scalar = float | str | bool | None

#: stands for the model in the record of a request that reached none; no model can be called so.
NO_MODEL = "-"

_OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE


def encode_predictions(
    *,
    model: str,
    version: int,
    variant: str,
    role: Role,
    source: Source,
    generation: int,
    request_id: str,
    ids: Sequence[str],
    timestamp: str | Sequence[str],
    received_at: str,
    latency_ms: float,
    key: Sequence[str | None] | None,
    features: Mapping[str, npt.NDArray[Any] | Sequence[Scalar]] | orjson.Fragment,
    inputs: bytes | None = None,
    prediction: npt.NDArray[Any] | Sequence[Scalar],
    score: npt.NDArray[Any] | Sequence[Scalar],
) -> bytes:
    """One line for one request of n rows; NaN and infinity become null. Times are stamps; one for all rows or one per row.

    `inputs`: in place of `features`, the rows as they were asked: one line of JSON, a list of objects, or columns and data.
    float32 is written with the digits that give the same float32 back: what was asked as 0.1 reads 0.1.
    """
    return orjson.dumps(
        {
            "v": PROTOCOL,
            "kind": "predictions",
            "model": model,
            "version": version,
            "variant": variant,
            "role": role,
            "source": source,
            "generation": generation,
            "request_id": request_id,
            "ids": ids,
            "timestamp": timestamp,
            "received_at": received_at,
            "latency_ms": latency_ms,
            "key": key,
            **({"features": features} if inputs is None else {"inputs": orjson.Fragment(inputs)}),
            "prediction": prediction,
            "score": score,
        },
        _listed,
        _OPTIONS,
    )


def opening_of(*, model: str, version: int, variant: str, role: Role, source: Source, generation: int) -> bytes:
    """What the lines of a version have in common, for `opening_at`."""
    fixed = {"v": PROTOCOL, "kind": "predictions", "model": model, "version": version, "variant": variant}
    return orjson.dumps({**fixed, "role": role, "source": source, "generation": generation})[:-1]


def opening_at(opening: bytes, latency_ms: float) -> bytes:
    """What the lines have in common of requests that a version answered together, for `encode_one` and `encode_answer`."""
    return b'%b,"latency_ms":%.4f' % (opening, latency_ms)


def about_one(
    *,
    request_id: str,
    id: str,  # noqa: A002 - the field's name
    timestamp: str,
    received_at: str,
    key: Sequence[str | None] | None,
) -> bytes:
    """What the lines of a request of one row have in common, whichever version answers. Ids and stamps need no escapes."""
    said = f',"request_id":"{request_id}","ids":["{id}"],"timestamp":"{timestamp}","received_at":"{received_at}","key":'
    return said.encode() + (b"null" if key is None else orjson.dumps(key))


def about(
    *,
    request_id: str,
    ids: Sequence[str],
    timestamp: str | Sequence[str],
    received_at: str,
    key: Sequence[str | None] | None,
) -> bytes:
    """`about_one` for any number of rows."""
    said = {"request_id": request_id, "ids": ids, "timestamp": timestamp, "received_at": received_at, "key": key}
    return b"," + orjson.dumps(said, _listed)[1:-1]


def encode_one(opening: bytes, said: bytes, *, inputs: bytes, score: bytes) -> bytes:
    """`encode_predictions` for one row as it was asked, a binary or regression model's: a fraction of the time.

    `opening` of `opening_at`, `said` of `about_one`; `score` is a JSON number, and the prediction too.
    """
    return b'%b%b,"inputs":%b,"prediction":[%b],"score":[%b]}\n' % (opening, said, inputs, score, score)


def encode_answer(opening: bytes, said: bytes, *, prediction: bytes, score: bytes) -> bytes:
    """A line without features: of a version that answered what another's line holds already. Lists, in JSON."""
    return b'%b%b,"features":{},"prediction":%b,"score":%b}\n' % (opening, said, prediction, score)


def encode_values(values: npt.NDArray[Any]) -> bytes:
    """Predictions or scores as a JSON list; NaN and infinity become null."""
    return orjson.dumps(values, _listed, orjson.OPT_SERIALIZE_NUMPY)


def encode_outcomes(*, model: str, received_at: str, outcomes: Sequence[Mapping[str, Any]]) -> bytes:
    """One line. An outcome: `outcome_id`, `id` or `key`, `name`, `value` (number, bool, text, null), `timestamp` if known."""
    line = {"v": PROTOCOL, "kind": "outcomes", "model": model, "received_at": received_at, "outcomes": outcomes}
    return orjson.dumps(line, _listed, _OPTIONS)


def encode_error(
    *,
    id: str,  # noqa: A002 - the field's name
    timestamp: str,
    model: str,
    version: int | None,
    status: int,
    reason: str,
    columns: Sequence[str],
    caller: str,
    request_id: str,
    route: str,
) -> bytes:
    """One line for one request that was refused or failed. No value of the request may stand in it.

    `model` is `NO_MODEL` and `version` None where it reached none; `reason` is a problem's kind; `route` a path of the
    route table, empty where there is no such path.
    """
    return orjson.dumps(
        {
            "v": PROTOCOL,
            "kind": "errors",
            "id": id,
            "timestamp": timestamp,
            "model": model,
            "version": version,
            "status": status,
            "reason": reason,
            "columns": columns,
            "caller": caller,
            "request_id": request_id,
            "route": route,
        },
        _listed,
        _OPTIONS,
    )


def _listed(value: Any) -> Any:
    """What orjson does not write by itself: arrays of text, strided arrays, mappings that are not dicts."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence):
        return list(value)
    raise TypeError(f"a journal line cannot hold {type(value).__name__}; give numbers, text, bool or None")


def apply_policy(
    features: Mapping[str, npt.NDArray[Any]], policy: Mapping[str, Literal["keep", "hash", "drop"]], salt: bytes
) -> Mapping[str, npt.NDArray[Any] | Sequence[Scalar]]:
    """The columns the journal may keep: dropped ones are gone, hashed ones are `hashed` text; missing stays missing."""
    if not policy:
        return features
    return {
        name: [hashed(value, salt) for value in column.tolist()] if policy.get(name) == "hash" else column
        for name, column in features.items()
        if policy.get(name) != "drop"
    }


def hashed(value: Scalar, salt: bytes) -> str | None:
    """32 hex digits that are equal for equal values and tell nothing to who has no salt (keyed BLAKE2b; salt: 1 to 64 bytes)."""
    is_nan = value != value
    if value is None or value == "" or is_nan:
        return None
    return hashlib.blake2b(str(value).encode(), key=salt, digest_size=16).hexdigest()
