"""A model of text, integers with missing values, booleans and times, asked natively in every protocol."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from flyball.client import Client, Rejected
from flyball.engine.bundle import write_bundle
from flyball.engine.compile import classes_of
from flyball.engine.infer import infer_contract, label_kind_of
from flyball.engine.native_files import native_files
from flyball.journal.carry import carry
from flyball.journal.lake import predictions
from flyball.registry.live import deploy
from flyball.registry.records import Deployment
from flyball.store import Home, moment, open_database, utcnow
from tests.unit.serving.test_serving_dialects import COLUMNS, FORMS, GOOD, Form, read

pytestmark = pytest.mark.slow

ROWS = 400
PATHS = {
    "native": "/models/churn/predict",
    "v1": "/v1/models/churn:predict",
    "v2": "/v2/models/churn/infer",
    "invocations": "/invocations",
    "vertex": "/vertex",
}


def numbers_of(rows: pd.DataFrame) -> pd.DataFrame:
    """What the model makes of a row: the hour and the weekday in the zone of training among it."""
    return pd.DataFrame(
        {
            "age": rows["age"],
            "gold": (rows["plan"] == "gold").astype(float),
            "visits": rows["visits"].astype(float).fillna(-1.0),
            "member": rows["member"].astype(float),
            "hour": rows["asked"].dt.hour.fillna(-1.0),
            "weekday": rows["asked"].dt.day_of_week.fillna(-1.0),
            "year": rows["born"].dt.year,
        }
    )


def table() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    seconds = rng.integers(0, 31_536_000, ROWS)
    asked = pd.Series(pd.Timestamp("2013-01-01", tz="UTC") + pd.to_timedelta(seconds, "s"))
    born = pd.Series(pd.Timestamp("1970-01-01") + pd.to_timedelta(rng.integers(0, 9_000, ROWS), "D"))
    return pd.DataFrame(
        {
            "age": rng.normal(40, 9, ROWS).astype(np.float32),
            "plan": rng.choice(["gold", "basic", None], ROWS),
            "visits": pd.array(rng.integers(0, 40, ROWS), dtype="Int64"),
            "member": rng.random(ROWS) < 0.5,
            "asked": asked.dt.tz_convert("Europe/Berlin").astype("datetime64[us, Europe/Berlin]"),
            "born": born.astype("datetime64[ns]"),
        }
    ).assign(
        asked=lambda made: made["asked"].mask(rng.random(ROWS) < 0.1),
        visits=lambda made: made["visits"].mask(rng.random(ROWS) < 0.1),
    )


FRAME = table()
FITTED = make_pipeline(FunctionTransformer(numbers_of), LogisticRegression(max_iter=10_000)).fit(
    FRAME, (FRAME["asked"].dt.hour.fillna(12) > 11).astype(int)
)
#: the rows of the table of protocols, as pandas holds them.
ASKED = pd.DataFrame(
    {
        "age": [30.5, 41.0, 22.25],
        "plan": ["gold", None, 'q,"ü"'],
        "visits": pd.array([4, None, 0], dtype="Int64"),
        "member": [True, False, True],
        "asked": pd.Series(pd.to_datetime([row["asked"] for row in GOOD], format="ISO8601", utc=True)).dt.tz_convert(
            "Europe/Berlin"
        ),
        "born": pd.to_datetime(pd.Series([row["born"] for row in GOOD]), format="ISO8601"),
    }
)


def install(home: Home, columns: dict[str, Any] | None = None) -> None:
    contract = infer_contract(
        FRAME,
        model="churn",
        task="binary",
        features=list(FRAME),
        classes=classes_of(FITTED),
        positive="1",
        label_kind=label_kind_of(FITTED),
    )
    files = native_files(FITTED, contract, FRAME, why="for a test", project=Path(__file__).parent)
    digest = write_bundle(home.runs / "churn", {**files, "contract.json": orjson.dumps(contract.to_json())})
    record = Deployment(
        model="churn",
        generation=0,
        live=1,
        bundles={1: ("runs/churn", digest)},
        shadow=(),
        columns=columns or {},
        at=moment("2013-06-01T00:00:00Z"),
    )
    database = open_database(home)
    with database.write() as tx:
        deploy(tx, record, replaces=None, who="test", why="test")
    database.close()


@pytest.fixture(scope="module")
def expected() -> list[float]:
    """What the model itself answers."""
    probabilities: list[float] = FITTED.predict_proba(ASKED)[:, 1].tolist()
    assert len(set(probabilities)) == 3
    return probabilities


@pytest.fixture
def server(serve: Callable[..., Any], installed: Any) -> Any:
    """One worker that serves `churn`, from a process of its own."""
    install(installed.home)
    return serve(models=("churn",), vertex_predict="/vertex")


def ask(server: Any, form: Form, rows: Any) -> tuple[int, Any]:
    body, headers = form.write(rows, {})
    sent = {name.decode(): value.decode() for name, value in headers.items()}
    status, told, answer = server.request("POST", PATHS[form.dialect], body, sent)
    fields = [(name.lower().encode(), value.encode()) for name, value in told.items()]
    return status, type("Answer", (), {"body": answer, "headers": fields})()


def test_the_model_answers_in_every_protocol_as_it_does_here(server: Any, expected: list[float]) -> None:
    """The hour is that of training's zone, whatever zone a time was sent in; one whose zone is unclear is refused."""
    for name, form in FORMS.items():
        status, answer = ask(server, form, GOOD)
        assert status == 200, (name, answer.body)
        wanted = [int(value > 0.5) for value in expected] if form.dialect == "invocations" else expected
        assert read(form, answer)["predictions"] == pytest.approx(wanted, abs=1e-6), name
        status, answer = ask(server, form, [{**row, "asked": "2013-08-01T12:00"} for row in GOOD])
        assert (status, name) == (422, name)
        assert b"got a date-time without a zone, needs a date-time with" in answer.body


def test_clients_send_times_as_they_hold_them(server: Any, expected: list[float]) -> None:
    """Ours and MLflow's take a table's own rows: pandas.Timestamp in the table's zone, and NaT."""
    client = Client(f"http://127.0.0.1:{server.port}")
    rows = ASKED.astype(object).where(ASKED.notna(), None).to_dict("records")
    assert client.predict("churn", rows).predictions == pytest.approx(expected, abs=1e-6)
    rows[0]["asked"] = pd.NaT
    rows[1]["born"] = np.datetime64("1990-01-01")
    assert client.predict("churn", rows).predictions[1:] == pytest.approx(expected[1:], abs=1e-6)
    with pytest.raises(Rejected, match="row 0, column 'asked': got a date-time without a zone"):
        client.predict("churn", [{**rows[0], "asked": pd.Timestamp("2013-08-01")}])
    client.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mlflow warns of its own type hints
        from mlflow.pyfunc.scoring_server.client import ScoringServerClient
    table = ASKED.astype({"plan": object, "visits": object}).assign(plan=["gold", None, "x"], visits=[4, None, 0])
    answer = ScoringServerClient("127.0.0.1", server.port).invoke(table)
    assert answer.get_predictions()[0].tolist() == [int(value > 0.5) for value in expected]


def test_journal_and_lake_keep_one_spelling(server: Any) -> None:
    """However a time was asked; a missing one is an empty text."""
    status, _, _ = server.request("POST", PATHS["native"], {"inputs": GOOD})
    assert status == 200
    (line,) = server.installed.journal()
    assert line["features"]["asked"] == COLUMNS["asked"]
    assert line["features"]["born"] == COLUMNS["born"]
    server.end()
    home = server.installed.home
    database = open_database(home)
    carry(home, database, now=utcnow())
    database.close()
    kept = predictions(home, "churn", moment("2020-01-01"), utcnow() + timedelta(days=1))["features"].to_pylist()
    assert [row["asked"] for row in kept] == COLUMNS["asked"]


def test_hashed_times_are_equal_where_the_instants_are(serve: Callable[..., Any], installed: Any) -> None:
    """And tell nothing else; dropped ones are gone."""
    install(installed.home, {"asked": "hash", "born": "drop"})
    server = serve(models=("churn",))
    spellings = ["2013-08-01T14:00:00+02:00", "2013-08-01 12:00Z", "2013-08-01T12:00:01Z", None]
    server.request("POST", PATHS["native"], {"inputs": [{**GOOD[0], "asked": text} for text in spellings]})
    (line,) = installed.journal()
    first, second, other, missing = line["features"]["asked"]
    assert first == second != other
    assert missing is None
    assert "born" not in line["features"]
    assert b"2013-08-01" not in orjson.dumps(line["features"])


def test_openapi_tells_what_a_time_must_be(server: Any) -> None:
    """With the zone and the range of training."""
    _, _, body = server.request("GET", "/openapi.json")
    row = orjson.loads(body)["components"]["schemas"]["churn-row"]
    asked = row["properties"]["asked"]
    assert (asked["type"], asked["format"]) == (["string", "null"], "date-time")
    assert "the model sees it in Europe/Berlin" in asked["description"]
    assert row["properties"]["born"]["format"] == "date-time-local"
    status, _, _ = server.request("POST", PATHS["native"], {"inputs": row["examples"]})
    assert status == 200
