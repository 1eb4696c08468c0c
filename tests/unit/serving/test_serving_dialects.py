"""Every protocol of the table, held to the same rows: same columns, same predictions, same refusals."""

from __future__ import annotations

import csv
import io
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.engine.contract import Contract, Feature, Prediction
from flyball.serving.problem import Problem
from flyball.serving.protocols.dialects import DIALECTS, spoken_at

NOW_S = 1_700_000_000.0
BY_NAME = {dialect.name: dialect for dialect in DIALECTS}
FEATURES = (
    Feature(name="age", kind="number", nullable=False, low=18, high=90),
    Feature(name="plan", kind="category", nullable=True, levels=("basic", "gold")),
    Feature(name="visits", kind="integer", nullable=True, low=0, high=40),
    Feature(name="member", kind="boolean", nullable=False),
    Feature(
        name="asked",
        kind="timestamp",
        nullable=True,
        timezone="Europe/Berlin",
        earliest="2013-01-01T00:00:00.000000Z",
        latest="2013-12-31T23:00:00.000000Z",
    ),
    Feature(name="born", kind="timestamp", nullable=False),
)
NAMES = [feature.name for feature in FEATURES]
GOOD: list[dict[str, Any]] = [
    {
        "age": 30.5,
        "plan": "gold",
        "visits": 4,
        "member": True,
        "asked": "2013-08-01T14:00:00+02:00",
        "born": "1980-02-29",
    },
    {"age": 41.0, "plan": None, "visits": None, "member": False, "asked": None, "born": "1990-01-01T00:00:00"},
    {
        "age": 22.25,
        "plan": 'q,"ü"',
        "visits": 0,
        "member": True,
        "asked": "2013-08-01 12:00:00.5Z",
        "born": "1990-01-01 12:30",
    },
]
COLUMNS = {
    "age": [30.5, 41.0, 22.25],
    "plan": ["gold", "", 'q,"ü"'],
    "visits": [4.0, math.nan, 0.0],
    "member": [1.0, 0.0, 1.0],
    "asked": ["2013-08-01T12:00:00.000000Z", "", "2013-08-01T12:00:00.500000Z"],
    "born": ["1980-02-29T00:00:00.000000", "1990-01-01T00:00:00.000000", "1990-01-01T12:30:00.000000"],
}


WITH_ZONE = 'a date-time with "Z" or an offset, for example "2013-08-01T12:00:00Z"'
WITHOUT_ZONE = 'a date-time without a zone, as in training, for example "2013-08-01T12:00:00"'


def contract(task: Any = "binary", classes: tuple[str, ...] = ("0", "1"), **more: Any) -> Contract:
    positive = "1" if task == "binary" else None
    fields: dict[str, Any] = {
        "model": "churn",
        "task": task,
        "features": FEATURES,
        "classes": classes,
        "positive": positive,
        "example": GOOD[0],
    }
    return Contract(**{**fields, **more})


MIXED = contract()


@dataclass(frozen=True)
class Form:
    """One way of writing rows in a protocol, as its clients do; `event` goes where the protocol has a place for it."""

    dialect: str
    write: Callable[[Sequence[Mapping[str, Any]], Mapping[str, Any]], tuple[bytes, dict[bytes, bytes]]]
    #: whether there is a place for key and timestamp.
    event: bool = True


def as_json(value: Any, kind: bytes = b"application/json") -> tuple[bytes, dict[bytes, bytes]]:
    return orjson.dumps(value), {b"content-type": kind}


def names_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def split_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = names_of(rows)
    return {"columns": names, "data": [[row.get(name) for name in names] for row in rows]}


def lists_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row.get(name) for row in rows] for name in names_of(rows)}


def datatype(values: Sequence[Any]) -> str:
    present = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in present):
        return "BOOL"
    return "BYTES" if any(isinstance(value, str) for value in present) else "FP64"


def v2_json(rows: Any, event: Any) -> Any:
    tensors = [
        {"name": name, "shape": [len(rows), 1], "datatype": datatype(values), "data": values}
        for name, values in lists_of(rows).items()
    ]
    return as_json({"inputs": tensors, "parameters": dict(event)})


def raw(kind: str, values: Sequence[Any]) -> bytes:
    if kind == "BYTES":
        texts = [("" if value is None else str(value)).encode() for value in values]
        return b"".join(struct.pack("<I", len(text)) + text for text in texts)
    if kind == "BOOL":
        return bytes(bool(value) for value in values)
    return np.array([math.nan if value is None else value for value in values], "<f8").tobytes()


def v2_binary(rows: Any, event: Any) -> Any:
    tensors, tails = [], []
    for name, values in lists_of(rows).items():
        kind = datatype(values)
        tails.append(raw(kind, values))
        size = {"binary_data_size": len(tails[-1])}
        tensors.append({"name": name, "shape": [len(rows)], "datatype": kind, "parameters": size})
    head = orjson.dumps({"inputs": tensors, "parameters": {**event, "binary_data_output": True}})
    # As tritonclient sends it: without a Content-Type.
    return head + b"".join(tails), {b"inference-header-content-length": str(len(head)).encode()}


def csv_with_header(rows: Any, _: Any) -> Any:
    text = io.StringIO()
    names = names_of(rows)
    csv.writer(text).writerows([names, *([row.get(name) for name in names] for row in rows)])
    return text.getvalue().encode(), {b"content-type": b"text/csv"}


def json_lines(rows: Any, _: Any) -> Any:
    return b"\n".join(orjson.dumps(row) for row in rows), {b"content-type": b"application/jsonlines"}


FORMS = {
    "native records": Form("native", lambda rows, event: as_json({"inputs": rows, **event})),
    "native split": Form("native", lambda rows, event: as_json({"inputs": split_of(rows), **event})),
    "v1 objects": Form("v1", lambda rows, event: as_json({"instances": rows, "parameters": event})),
    "v1 columnar": Form("v1", lambda rows, event: as_json({"inputs": lists_of(rows), "parameters": event})),
    "v1 of KServe": Form("v1", lambda rows, event: as_json({"inputs": rows, "parameters": event})),
    "vertex": Form("vertex", lambda rows, event: as_json({"instances": rows, "parameters": event})),
    "v2 JSON": Form("v2", v2_json),
    "v2 binary": Form("v2", v2_binary),
    "dataframe_split": Form(
        "invocations", lambda rows, event: as_json({"dataframe_split": split_of(rows), "params": event})
    ),
    "dataframe_records": Form("invocations", lambda rows, event: as_json({"dataframe_records": rows, "params": event})),
    "instances": Form("invocations", lambda rows, event: as_json({"instances": rows, "params": event})),
    "inputs": Form("invocations", lambda rows, event: as_json({"inputs": lists_of(rows), "params": event})),
    "csv": Form("invocations", csv_with_header, event=False),
    "json lines": Form("invocations", json_lines, event=False),
}
EVERY = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
WITH_EVENT = pytest.mark.parametrize(
    "form", [pytest.param(form, id=name) for name, form in FORMS.items() if form.event]
)
#: forms in which each row names its own columns.
BY_ROW = [
    name for name in FORMS if "objects" in name or "records" in name or name in ("vertex", "instances", "json lines")
]


def decode(form: Form, rows: Any, of: Contract = MIXED, event: Mapping[str, Any] | None = None) -> Any:
    body, headers = form.write(rows, event or {})
    return BY_NAME[form.dialect].decode(body, headers, of, NOW_S)


def prediction(of: Contract) -> Prediction:
    """The same answer to three rows, as an engine would give it."""
    if of.task == "regression":
        values = np.array([1.5, -2.0, 0.1])
        return Prediction(prediction=values, score=values, probabilities=None)
    shares = np.array([[0.25, 0.75], [0.875, 0.125], [0.5, 0.5]])
    if of.task == "binary":
        return Prediction(prediction=shares[:, 1], score=shares[:, 1], probabilities=shares)
    labels = np.array(of.classes, dtype=object)[shares.argmax(axis=1)]
    return Prediction(prediction=labels, score=shares.max(axis=1), probabilities=shares)


def read(form: Form, answer: Any) -> dict[str, Any]:
    """The predictions, and the probabilities where they are told, out of a protocol's answer."""
    if form.dialect != "v2":
        value = orjson.loads(answer.body)
        values = value.get("predictions", value.get("outputs"))
        if isinstance(values, dict):
            return {"predictions": values["class"], "probabilities": values["probabilities"]}
        if isinstance(values[0], dict):
            return {
                "predictions": [row["class"] for row in values],
                "probabilities": [row["probabilities"] for row in values],
            }
        return {name: value[name] for name in ("predictions", "probabilities") if name in value} or {
            "predictions": values
        }
    length = int(dict(answer.headers).get(b"inference-header-content-length", len(answer.body)))
    value, rest, found = orjson.loads(answer.body[:length]), answer.body[length:], {}
    for tensor in value["outputs"]:
        data = tensor.get("data")
        if data is None:
            size = tensor["parameters"]["binary_data_size"]
            part, rest = rest[:size], rest[size:]
            data = texts(part) if tensor["datatype"] == "BYTES" else np.frombuffer(part, "<f8").tolist()
        found[tensor["name"]] = data if len(tensor["shape"]) == 1 else np.reshape(data, tensor["shape"]).tolist()
    assert rest == b""
    return found


def texts(part: bytes) -> list[str]:
    found = []
    while part:
        (length,) = struct.unpack_from("<I", part)
        found.append(part[4 : 4 + length].decode())
        part = part[4 + length :]
    return found


def test_every_protocol_is_checked() -> None:
    """A new row of the table needs a form here."""
    assert {form.dialect for form in FORMS.values()} == set(BY_NAME)


@EVERY
def test_the_same_rows_are_the_same_columns(form: Form) -> None:
    """Numbers, integers with missing values, booleans, text, and times with a zone or without, whichever way they come."""
    asked, _ = decode(form, GOOD)
    got = {name: asked.columns[name].tolist() for name in NAMES}
    assert asked.rows == 3
    assert str(got) == str(COLUMNS)  # as text: NaN equals NaN
    assert [asked.columns[name].dtype for name in NAMES] == ["f4", "O", "f4", "f4", "O", "O"]


@EVERY
def test_the_order_of_columns_does_not_matter(form: Form) -> None:
    """Values are named."""
    asked, _ = decode(form, [dict(reversed(row.items())) for row in GOOD])
    assert str({name: asked.columns[name].tolist() for name in NAMES}) == str(COLUMNS)


@EVERY
@pytest.mark.parametrize("at", [0, 2])
@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("age", "secret", "got text, needs a number"),
        ("age", None, "needs a number: no value was missing in training"),
        ("age", 1e39, "got a number beyond 3.4e+38, needs one that fits 32 bits"),
        ("visits", 4.5, "got a number with a fraction, needs an integer"),
        ("member", "secret", "got text, needs true or false"),
        ("asked", "secret", f"got text that is no date-time, needs {WITH_ZONE}"),
        ("asked", "2013-08-01T12:00:00", f"got a date-time without a zone, needs {WITH_ZONE}"),
        ("born", "2013-08-01T12:00:00Z", f"got a date-time with a zone, needs {WITHOUT_ZONE}"),
        ("born", "2016-12-31T23:59:60", f"got a date-time that no calendar or clock here has, needs {WITHOUT_ZONE}"),
        ("born", "9999-12-31", "needs one from 1677-09-21T00:12:43.145225 to 2262-04-11T23:47:16.854775"),
        ("born", None, "needs a date-time as text: no value was missing in training"),
    ],
)
def test_a_bad_value_is_refused_by_row_and_column(form: Form, at: int, column: str, value: Any, message: str) -> None:
    """422, the place ends with row and column, and the value is not repeated."""
    bad = [*GOOD]
    bad[at] = {**bad[at], column: value}
    if form is FORMS["v2 binary"] and value == "secret" and column != "asked":
        at = 0  # a binary tensor has one type: all its values are texts then
    with pytest.raises(Problem) as caught:
        decode(form, bad)
    assert (caught.value.status, caught.value.kind) == (422, "contract")
    assert caught.value.errors[0].loc[-2:] == (at, column)
    assert caught.value.errors[0].msg.endswith(message)
    assert "secret" not in caught.value.detail


@EVERY
def test_a_time_as_a_number_is_refused_with_what_to_send(form: Form) -> None:
    """Seconds, milliseconds, nanoseconds: a number does not say. A CSV's cells are all text."""
    with pytest.raises(Problem) as caught:
        decode(form, [{**row, "asked": 1375358400} for row in GOOD])
    assert caught.value.status == 422
    assert [error.loc[-2:] for error in caught.value.errors] == [(0, "asked"), (1, "asked"), (2, "asked")]
    assert caught.value.errors[0].msg.endswith(f"needs {WITH_ZONE}" if form is FORMS["csv"] else f"text: {WITH_ZONE}")
    assert "1375358400" not in caught.value.detail


@EVERY
def test_a_missing_time_may_be_written_as_pandas_writes_it(form: Form) -> None:
    """MLflow's clients send NaT as text."""
    asked, _ = decode(form, [{**row, "asked": "NaT"} for row in GOOD])
    assert asked.columns["asked"].tolist() == ["", "", ""]


@EVERY
def test_an_unknown_column_is_refused_by_name(form: Form) -> None:
    """With the nearest name."""
    renamed = [{("aeg" if name == "age" else name): value for name, value in row.items()} for row in GOOD]
    with pytest.raises(Problem) as caught:
        decode(form, renamed)
    assert [error.loc[-1] for error in caught.value.errors][:2] == ["age", "aeg"]
    assert "did you mean 'age'?" in caught.value.detail


@EVERY
def test_no_rows_are_refused(form: Form) -> None:
    """There is nothing to answer."""
    with pytest.raises(Problem) as caught:
        decode(form, [])
    assert caught.value.status == 422


@pytest.mark.parametrize("name", BY_ROW)
def test_a_row_too_short_is_refused_alone(name: str) -> None:
    """Where rows name their columns, the row that lacks one is named."""
    short = {key: value for key, value in GOOD[1].items() if key != "member"}
    with pytest.raises(Problem) as caught:
        decode(FORMS[name], [GOOD[0], short])
    assert caught.value.errors[0].loc[-2:] == (1, "member")


@WITH_EVENT
def test_key_and_timestamp_have_a_place(form: Form) -> None:
    """One for all rows, or a list with one for each."""
    one, _ = decode(form, GOOD, event={"key": "N1", "timestamp": "2013-01-01T12:00:00+02:00"})
    assert (one.keys, one.timestamp) == (["N1"] * 3, "2013-01-01T10:00:00.000000Z")
    each, _ = decode(form, GOOD, event={"key": ["a", "b", "c"]})
    assert (each.keys, each.timestamp) == (["a", "b", "c"], None)


@WITH_EVENT
@pytest.mark.parametrize(
    "event", [{"key": 7}, {"key": ["a"]}, {"timestamp": "yesterday"}, {"timestamp": "2093-01-01T00:00:00Z"}, {"kee": 1}]
)
def test_a_wrong_key_or_time_is_refused(form: Form, event: Any) -> None:
    """Never ignored: neither a wrong one nor one misspelt."""
    with pytest.raises(Problem) as caught:
        decode(form, GOOD, event=event)
    assert caught.value.status == 422
    assert caught.value.errors[0].loc[-1] in (*event, 0)


@EVERY
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_the_same_prediction_is_the_same_answer(form: Form, task: Any) -> None:
    """A probability, a class with all probabilities, or a value; of `/invocations`, what `predict` itself answers."""
    of = contract(task, () if task == "regression" else ("0", "1"), label_kind="integer")
    _, encode = decode(form, GOOD, of)
    got = read(form, encode(prediction(of), 3, ["a", "b", "c"]))
    expected: dict[str, Any] = {
        "binary": {"predictions": [0.75, 0.125, 0.5]},
        "multiclass": {"predictions": ["1", "0", "0"], "probabilities": [[0.25, 0.75], [0.875, 0.125], [0.5, 0.5]]},
        "regression": {"predictions": [1.5, -2.0, 0.1]},
    }[task]
    if form.dialect == "invocations" and task != "regression":
        expected = {"predictions": [1, 0, 0]}
    assert got == expected


@pytest.mark.parametrize("dialect", [name for name in BY_NAME if name != "native"])
@pytest.mark.parametrize(
    "kind", [b"image/png", b"multipart/form-data; boundary=x", b"application/json; charset=latin1"]
)
def test_a_content_type_that_nobody_reads_is_refused(dialect: str, kind: bytes) -> None:
    """415, before the body is looked at."""
    with pytest.raises(Problem) as caught:
        BY_NAME[dialect].decode(b"{}", {b"content-type": kind}, MIXED, NOW_S)
    assert caught.value.status == 415


@pytest.mark.parametrize("dialect", [name for name in BY_NAME if name != "native"])
def test_a_missing_number_may_be_written_as_python_writes_it(dialect: str) -> None:
    """`json.dumps` writes NaN, which JSON lacks; inside a text it is text."""
    row = b'{"age": 1.5, "plan": "NaN \\" NaN", "visits": NaN, "member": true, "asked": NaN, "born": "1990-01-01"}'
    tensors = (
        b'[{"name":"age","shape":[1],"datatype":"FP32","data":[1.5]},'
        b'{"name":"plan","shape":[1],"datatype":"BYTES","data":["NaN \\" NaN"]},'
        b'{"name":"visits","shape":[1],"datatype":"FP32","data":[NaN]},'
        b'{"name":"member","shape":[1],"datatype":"BOOL","data":[true]},'
        b'{"name":"asked","shape":[1],"datatype":"BYTES","data":[NaN]},'
        b'{"name":"born","shape":[1],"datatype":"BYTES","data":["1990-01-01"]}]'
    )
    body = b'{"inputs": %b}' % tensors if dialect == "v2" else b'{"instances": [%b]}' % row
    columns = BY_NAME[dialect].decode(body, {}, MIXED, NOW_S)[0].columns
    assert math.isnan(columns["visits"][0])
    assert columns["plan"].tolist() == ['NaN " NaN']


@pytest.mark.parametrize(
    ("path", "members"),
    [
        ("/models/churn/predict", {}),
        ("/v1/models/churn:predict", {"error": "why"}),
        ("/v2/models/churn/infer", {"error": "why"}),
        ("/v2", {"error": "why"}),
        ("/invocations", {"error_code": "BAD_REQUEST", "message": "why"}),
    ],
)
def test_a_refusal_has_what_the_protocols_clients_look_for(path: str, members: Any) -> None:
    """Beside the members of problem+json."""
    assert spoken_at(path).refuse(Problem("contract", "why")) == members


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(NAMES),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("inputs", "instances", "dataframe_split", "dataframe_records", "params", "parameters", "columns"),
                    *("data", "index", "name", "shape", "datatype", "outputs", "id", "key", *NAMES),
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=25,
)
_TENSOR = st.fixed_dictionaries(
    {
        "name": st.sampled_from([*NAMES, "x"]),
        "shape": st.lists(st.integers(-1, 3), max_size=3) | _JSON,
        "datatype": st.sampled_from(["FP32", "FP16", "BF16", "INT8", "UINT64", "BOOL", "BYTES", "x"]),
    },
    optional={
        "data": st.lists(_JSON, max_size=4),
        "parameters": st.fixed_dictionaries({"binary_data_size": st.integers(-1, 40) | _JSON}) | _JSON,
    },
)
_BODY = (
    st.binary(max_size=80)
    | _JSON.filter(lambda value: _writable(value)).map(orjson.dumps)
    | st.builds(
        lambda tensors, tail: orjson.dumps({"inputs": tensors}) + tail,
        st.lists(_TENSOR.filter(lambda value: _writable(value)), max_size=4),
        st.binary(max_size=40),
    )
    | st.text(alphabet='age,plan\n\r" 1.5tru\x00é2013-08T:Z', max_size=60).map(lambda text: text.encode())
)


def _writable(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


_HEADERS = st.fixed_dictionaries(
    {},
    optional={
        b"content-type": st.sampled_from(
            [b"application/json", b"text/csv", b"text/csv; header=absent", b"application/jsonlines", b"", b"a;b;=;"]
        )
        | st.binary(max_size=10),
        b"inference-header-content-length": st.integers(0, 200).map(lambda n: str(n).encode()) | st.binary(max_size=6),
        b"accept": st.sampled_from([b"text/csv", b"*/*", b"application/jsonlines, text/csv"]) | st.binary(max_size=10),
    },
)


@given(dialect=st.sampled_from(DIALECTS), body=_BODY, headers=_HEADERS, one=st.booleans())
def test_whatever_bytes_come_they_are_columns_or_a_refusal(dialect: Any, body: Any, headers: Any, one: bool) -> None:
    """No other exception, on any protocol, for a model of one feature or of several; an answer is as long as its rows."""
    of = contract("regression", (), features=FEATURES[:1]) if one else MIXED
    try:
        asked, encode = dialect.decode(body, headers, of, NOW_S)
    except Problem as problem:
        status = problem.status
    else:
        status = 200
    assert status in (200, 400, 415, 422)
    if status != 200:
        return
    assert asked.rows > 0
    assert {len(column) for column in asked.columns.values()} == {asked.rows}
    values = np.zeros(asked.rows)
    shares = None if one else np.zeros((asked.rows, 2))
    assert encode(Prediction(prediction=values, score=values, probabilities=shares), 1, ["x"] * asked.rows).body
