"""Held-out rows through the serving path: JSON, the native protocol's decoding, a compiled engine."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from flyball.engine.compile import compile_model
from flyball.engine.infer import infer_contract
from flyball.engine.session import Engine, open_engine
from flyball.loop.replay import REPLAYED, replay

FEATURES = ("age", "visits", "account", "member", "city")


def rows_of(count: int) -> pd.DataFrame:
    random = np.random.default_rng(8)
    return pd.DataFrame(
        {
            "age": random.normal(40, 10, count),
            "visits": random.integers(0, 50, count),
            "account": random.integers(0, 1_000, count),
            "member": random.random(count) < 0.5,
            "city": random.choice(["Bern", "Kyiv", "São Paulo"], count),
            "y": random.integers(0, 2, count),
        }
    )


@pytest.fixture(scope="module")
def engine() -> Engine:
    rows = rows_of(500)
    columns = [("seen", "passthrough", list(FEATURES[:4])), ("city", OneHotEncoder(handle_unknown="ignore"), ["city"])]
    model = make_pipeline(ColumnTransformer(columns), LogisticRegression(max_iter=2_000))
    fitted = model.fit(rows[list(FEATURES)], rows["y"])
    contract = infer_contract(
        rows, model="m", task="binary", features=FEATURES, classes=["0", "1"], positive="1", label_kind="integer"
    )
    return open_engine(contract, compile_model(fitted, contract))


def test_rows_as_in_training_are_served_as_scored(engine: Engine) -> None:
    """Numbers, integers, booleans and text; of many rows the last ones."""
    found = replay(engine, rows_of(1_200))
    assert (found["rows"], found["same"], found["otherwise"], found["refused"]) == (1_200, 1_200, 0, 0)
    assert (found["differing"], found["refusing"], found["coarse"]) == ({}, {}, {})
    assert replay(engine, rows_of(REPLAYED + 7))["rows"] == REPLAYED


def test_rows_that_requests_cannot_be_are_named_by_column(engine: Engine) -> None:
    """Missing where training saw none, a fraction as a count: the table is scored all the same, a client is refused."""
    rows = rows_of(1_200).astype({"visits": "float64"})
    rows.loc[[700, 900], "city"] = None
    rows.loc[30, "visits"] = 2.5
    found = replay(engine, rows)
    assert (found["same"], found["refused"], found["otherwise"]) == (1_197, 3, 0)
    assert found["refusing"] == {"city": [2, 700], "visits": [1, 30]}


def test_integers_that_requests_round_are_told(engine: Engine) -> None:
    """2^24 + 1 is the first that float32 does not hold; the place is counted in the whole table."""
    rows = rows_of(REPLAYED + 10)
    rows.loc[[20, 25], "account"] = [2**24 + 1, 2**24 + 2]
    assert replay(engine, rows)["coarse"] == {"account": [1, 20]}


def test_infinity_does_not_come_through(engine: Engine) -> None:
    """JSON has none: it arrives as missing, which this feature may not be."""
    rows = rows_of(100)
    rows.loc[4, "age"] = np.inf
    assert replay(engine, rows)["refusing"] == {"age": [1, 4]}


def test_no_rows_are_no_finding(engine: Engine) -> None:
    """An empty table has nothing that could differ."""
    assert replay(engine, rows_of(0))["rows"] == 0
