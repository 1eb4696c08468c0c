"""MLflow's `/invocations`, which is SageMaker's too: tables in JSON, CSV or JSON lines; the model's own labels back."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import orjson

from flyball.engine.contract import Columns, Contract, Prediction
from flyball.serving.answer import Answer
from flyball.serving.problem import Problem, wrong
from flyball.serving.protocols import schemas
from flyball.serving.protocols.dialect import Described, Encode, Schema
from flyball.serving.protocols.lines import read_csv, read_json_lines
from flyball.serving.protocols.native import Asked, only
from flyball.serving.protocols.reading import (
    an_object,
    columns_of_lists,
    columns_of_rows,
    columns_of_split,
    is_json,
    json_value,
    keys_and_times,
    media_type,
    row_count,
)
from flyball.serving.requests import Headers

CSV = "text/csv"
JSON_LINES = "application/jsonlines"

_TABLES = ("dataframe_split", "dataframe_records", "instances", "inputs")
_FIELDS = frozenset({*_TABLES, "params"})
_SPLIT_FIELDS = frozenset({"columns", "data", "index"})
_LINES = frozenset({JSON_LINES, "application/x-jsonlines", "application/x-ndjson"})
_NEEDS = 'send {"dataframe_split": {"columns": [...], "data": [[...], ...]}}'
#: status -> MLflow's name for it.
_CODES: Mapping[int, str] = {
    404: "RESOURCE_DOES_NOT_EXIST",
    429: "REQUEST_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
    503: "TEMPORARILY_UNAVAILABLE",
    504: "TEMPORARILY_UNAVAILABLE",
}


def decode(body: bytes, headers: Headers, contract: Contract, now_s: float) -> tuple[Asked, Encode]:
    """Which table it is, is said by the content type, and in JSON by the one member besides `params`."""
    kind, parameters = media_type(headers)
    params = None
    if kind == CSV:
        columns = read_csv(body, contract, header=parameters.get("header"))
    elif kind in _LINES:
        columns = read_json_lines(body, contract)
    elif is_json(kind):
        value = an_object(json_value(body), _NEEDS)
        columns, params = _table(value, contract), value.get("params")
    else:
        raise Problem("media", f"needs application/json, {CSV} or {JSON_LINES}")
    rows = row_count(columns)
    keys, times = keys_and_times(params, rows, now_s, ("params",))
    return Asked(columns, rows, keys, times), partial(encode, contract, _accepted(headers))


def encode(contract: Contract, accepted: str, prediction: Prediction, _version: int, _ids: Sequence[str]) -> Answer:
    """What the model's own `predict` answers, as JSON or with a line for each row."""
    values = own_answers(contract, prediction)
    if accepted == CSV:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([value] for value in values)
        return Answer(body=text.getvalue().encode(), content_type=b"text/csv; charset=utf-8")
    if accepted == JSON_LINES:
        return Answer(body=b"".join(orjson.dumps(value) + b"\n" for value in values), content_type=JSON_LINES.encode())
    return Answer(body=orjson.dumps({"predictions": values}))


def own_answers(contract: Contract, prediction: Prediction) -> list[Any]:
    """Class labels in their own type, the most probable of each row; of a regression, its values."""
    if prediction.probabilities is None:
        values: list[Any] = prediction.prediction.tolist()
        return values
    labels = contract.labels()
    return [labels[index] for index in np.argmax(prediction.probabilities, axis=1).tolist()]


def refuse(problem: Problem) -> Mapping[str, str]:
    """What MLflow's clients look for."""
    return {"error_code": _CODES.get(problem.status, "BAD_REQUEST"), "message": problem.detail}


def describe(contract: Contract) -> Described:
    example = dict(contract.example)
    row, values = schemas.row(contract), schemas.values(contract)
    split = schemas.split(contract)
    split["properties"]["index"] = {"type": "array"}
    tables: dict[str, Schema] = {
        "dataframe_split": split,
        "dataframe_records": {"type": "array", "items": row, "minItems": 1},
        "instances": {"type": "array", "items": {"oneOf": [row, values]}, "minItems": 1},
        "inputs": {"oneOf": [schemas.columns(contract), {"type": "array", "items": values, "minItems": 1}]},
    }
    request: Schema = {
        "type": "object",
        "properties": {**tables, "params": schemas.parameters()},
        "oneOf": [{"required": [name]} for name in tables],
        "additionalProperties": False,
    }
    answer: Schema = {
        "type": "object",
        "properties": {"predictions": {"type": "array", "items": schemas.label(contract)}},
        "required": ["predictions"],
    }
    names, row_values = list(example), list(example.values())
    return Described(
        requests={
            "application/json": (request, {"dataframe_split": {"columns": names, "data": [row_values]}}),
            CSV: ({"type": "string"}, _csv_line(names) + _csv_line(row_values)),
            JSON_LINES: ({"type": "string"}, orjson.dumps(example).decode() + "\n"),
        },
        answers={"application/json": answer, CSV: {"type": "string"}, JSON_LINES: {"type": "string"}},
        says="what the model's own `predict` does: a class in its own type, or a value",
        note=(
            f"By `Accept` also as {CSV} or {JSON_LINES}, one line a row. A CSV's first line is a header if it names a feature"
            " (or say `header=present` or `header=absent` in the Content-Type); without one, values are in the order"
            " of the features. `params` may hold `key` and `timestamp`, and nothing else. The header"
            " `X-Amzn-SageMaker-Target-Model`, or `?model=`, picks one of several models."
        ),
    )


def _table(value: dict[str, Any], contract: Contract) -> Columns:
    only(value, _FIELDS, ())
    given = [name for name in _TABLES if name in value]
    if len(given) != 1:
        raise wrong((), f"needs one of {', '.join(_TABLES)}; {_NEEDS}")
    return _READ[given[0]](value[given[0]], contract, given[0])


def _split(table: Any, contract: Contract, name: str) -> Columns:
    if type(table) is not dict:
        raise wrong((name,), 'needs {"columns": [...], "data": [[...], ...]}')
    only(table, _SPLIT_FIELDS, (name,))
    columns = table.get("columns")
    if columns is not None and type(columns) is not list:
        raise wrong((name, "columns"), "needs a list of feature names")
    if type(table.get("data")) is not list:
        raise wrong((name, "data"), "needs a list of rows")
    return columns_of_split(contract, contract.names() if columns is None else columns, table["data"], (name,))


def _rows(table: Any, contract: Contract, name: str) -> Columns:
    if type(table) is dict and name != "dataframe_records":
        return columns_of_lists(contract, table, (name,))
    if type(table) is not list:
        raise wrong((name,), "needs a list, one item a row")
    return columns_of_rows(contract, table, (name,))


_READ: Mapping[str, Callable[[Any, Contract, str], Columns]] = {
    "dataframe_split": _split,
    "dataframe_records": _rows,
    "instances": _rows,
    "inputs": _rows,
}


def _accepted(headers: Headers) -> str:
    """The first media type of Accept that can be written; JSON where there is none."""
    for part in headers.get(b"accept", b"").decode("latin-1").lower().split(","):
        kind = part.partition(";")[0].strip()
        if kind in (CSV, "application/json"):
            return kind
        if kind in _LINES:
            return JSON_LINES
    return "application/json"


def _csv_line(values: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()
