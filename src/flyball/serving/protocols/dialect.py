"""What a protocol is to this server: a record of pure functions, one row of the table in `dialects`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flyball.engine.contract import Contract, Prediction
from flyball.serving.answer import Answer
from flyball.serving.problem import Problem
from flyball.serving.protocols.native import Asked
from flyball.serving.requests import Headers

if TYPE_CHECKING:
    from flyball.engine.session import Engine

#: a version's prediction, its number and one id for each row become the response.
Encode = Callable[[Prediction, int, Sequence[str]], Answer]

#: body, headers, contract and now (seconds since 1970) become the rows asked, and how their answer is to be written.
#: Raises `Problem` (400, 415, 422), naming row and column.
Decode = Callable[[bytes, Headers, Contract, float], tuple[Asked, Encode]]

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """A predict route in OpenAPI, for one model."""

    #: media type -> schema and example of the body.
    requests: Mapping[str, tuple[Schema, Any]]
    #: media type -> schema of the answer.
    answers: Mapping[str, Schema]
    #: what it answers, as the end of a sentence.
    says: str
    #: sentences besides: what the protocol leaves open and this server decides.
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One protocol."""

    name: str
    #: of its predict routes, for people.
    summary: str
    #: its predict routes, with `{model}` and `{version}`; one without `{model}` is for the only model, or a chosen one.
    paths: tuple[str, ...]
    decode: Decode
    #: members that a refusal has in this protocol, besides those of problem+json.
    refuse: Callable[[Problem], Mapping[str, str]]
    describe: Callable[[Contract], Described]
    #: header under which an answer repeats its variant.
    variant_header: bytes | None = None


def score_in(
    dialect: Dialect, engine: Engine, body: bytes, headers: Headers, now_s: float
) -> tuple[tuple[Asked, Prediction], Encode]:
    """A request, understood, a version's answer to it, and how it is to be written. Raises `Problem`."""
    asked, encode = dialect.decode(body, headers, engine.contract, now_s)
    return (asked, engine.predict(asked.columns)), encode


def as_error(problem: Problem) -> Mapping[str, str]:
    """What clients of the inference protocols look for."""
    return {"error": problem.detail}


def as_problem(_: Problem) -> Mapping[str, str]:
    """problem+json as it is."""
    return {}
