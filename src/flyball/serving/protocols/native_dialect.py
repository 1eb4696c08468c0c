"""The native protocol as a row of `dialects`. Its requests take a shorter way (`answering`) to the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from flyball.engine.contract import Contract, Prediction
from flyball.serving.answer import Answer
from flyball.serving.protocols import native, schemas
from flyball.serving.protocols.dialect import Described, Encode, Schema
from flyball.serving.protocols.native import Asked
from flyball.serving.requests import Headers
from flyball.serving.served import LIVE


def decode(body: bytes, _: Headers, contract: Contract, now_s: float) -> tuple[Asked, Encode]:
    """JSON, whatever the content type says."""
    return native.decode(body, contract, now_s), partial(encode, contract)


def encode(contract: Contract, prediction: Prediction, version: int, ids: Sequence[str]) -> Answer:
    head = native.answer_head(contract.model, version, LIVE)
    return Answer(body=native.encode(head, prediction, ids, multiclass=contract.task == "multiclass"))


def describe(contract: Contract) -> Described:
    request: Schema = {
        "type": "object",
        "properties": {
            "inputs": {
                "oneOf": [
                    {"type": "array", "items": schemas.row(contract), "minItems": 1},
                    schemas.split(contract),
                ]
            },
            **schemas.event(),
        },
        "required": ["inputs"],
        "additionalProperties": False,
    }
    return Described(
        requests={"application/json": (request, {"inputs": [dict(contract.example)]})},
        answers={"application/json": _answer(contract)},
        says=schemas.says(contract),
        note="`ids` name the predictions when outcomes are told.",
    )


def _answer(contract: Contract) -> Schema:
    properties: Schema = {
        "model": {"const": contract.model},
        "version": {"type": "integer"},
        "variant": {"type": "string"},
        "predictions": {"type": "array", "items": schemas.prediction(contract)},
        "ids": {"type": "array", "items": {"type": "string"}},
    }
    if contract.task == "multiclass":
        properties["probabilities"] = {"type": "array", "items": schemas.probabilities()}
    return {"type": "object", "properties": properties, "required": list(properties)}
