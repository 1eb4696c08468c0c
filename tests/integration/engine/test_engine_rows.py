"""A single row's short way answers what the ordinary way answers, or leaves the row to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from flyball.engine.check import Violation, columns_from_records
from flyball.engine.compile import classes_of, compile_model
from flyball.engine.infer import infer_contract
from flyball.engine.rows import MANY, Rows, few_rows, unpacked
from flyball.engine.session import Engine, open_engine

ROWS = 400
RNG = np.random.default_rng(1788)
FRAME = pd.DataFrame(
    {
        "distance": RNG.integers(80, 2_500, ROWS),
        "carrier": RNG.choice(["UA", "AA", "DL"], ROWS),
        "wind": np.where(RNG.random(ROWS) < 0.1, np.nan, RNG.normal(size=ROWS)),
        "temp": RNG.normal(60, 15, ROWS),
    }
)
SCORE = FRAME["temp"] / 15 + (FRAME["carrier"] == "UA") + RNG.normal(size=ROWS)
MIXED = ["distance", "carrier", "wind", "temp"]
NUMBERS = ["distance", "wind", "temp"]
ROW = {"distance": 1_400, "carrier": "UA", "wind": 0.5, "temp": 61.25}


def engine(features: list[str], task: Any, *, booleans: bool = False) -> Engine:
    frame = FRAME[features].assign(late=RNG.random(ROWS) < 0.5) if booleans else FRAME[features]
    kind = LGBMRegressor if task == "regression" else LGBMClassifier
    texts = [name for name in features if name == "carrier"]
    codes = ColumnTransformer([("codes", OrdinalEncoder(), texts)], remainder="passthrough")
    model = make_pipeline(codes, kind(n_estimators=20, n_jobs=1, verbose=-1))
    cuts = {"binary": [-99.0, 4, 99], "multiclass": [-99.0, 3, 5, 99]}
    target = SCORE if task == "regression" else pd.cut(SCORE, cuts[task], labels=False).astype(str)
    model.fit(frame, target)
    contract = infer_contract(
        frame,
        model="flights",
        task=task,
        features=list(frame),
        classes=classes_of(model),
        positive="1" if task == "binary" else None,
    )
    return open_engine(contract, compile_model(model, contract))


def way(of: Engine) -> Rows:
    found = few_rows(of)
    assert found is not None
    return found


def alone(short: Rows, record: Any) -> float | None:
    """The answer to one record, by itself; None where it is not taken in."""
    return short.scores()[0] if short.put(record) else None


def ordinary(of: Engine, record: Mapping[str, Any]) -> float | None:
    """What the ordinary way answers; None where it refuses."""
    try:
        return float(of.predict(columns_from_records(of.contract, [record])).score[0])
    except Violation:
        return None


BINARY = engine(MIXED, "binary")
REGRESSION = engine(NUMBERS, "regression")


@pytest.mark.parametrize("of", [BINARY, engine(NUMBERS, "binary"), engine(MIXED, "regression"), REGRESSION])
def test_a_usual_row_has_the_same_score_either_way(of: Engine) -> None:
    """Bit by bit, with text and without, over rows that differ; missing where training saw missing values."""
    short, names = way(of), of.contract.names()
    for row in FRAME.astype(object).where(FRAME.notna(), None).head(50)[list(names)].to_dict("records"):
        assert alone(short, row) == ordinary(of, row)


def test_the_rows_that_are_kept_are_those_that_were_scored() -> None:
    """A shadow scores the same columns, though the buffer is used for the next row meanwhile."""
    short = way(BINARY)
    first = alone(short, ROW)
    kept = short.packed(1)
    assert alone(short, {**ROW, "temp": 20.0, "carrier": "DL"}) != first
    last = alone(short, {**ROW, "temp": 20.0, "carrier": "DL"})
    columns = unpacked(BINARY.contract.layout, [kept, short.packed(1)])
    assert BINARY.predict(columns).score.tolist() == [first, last]


@pytest.mark.parametrize(
    "changes",
    [
        {"wind": "strong"},
        {"wind": True},
        {"temp": None},
        {"temp": 1e39},
        {"temp": 10**400},
        {"distance": 1.5},
        {"carrier": None},
        {"carrier": ""},
        {"carrier": 7},
        {"more": 1},
    ],
)
def test_an_unusual_row_is_left_to_the_ordinary_way(changes: dict[str, Any]) -> None:
    """Wrong types, missing values, numbers beyond float32, unknown features: looked at with care, not here."""
    assert alone(way(BINARY), {**ROW, **changes}) is None


@pytest.mark.parametrize("record", [None, [], 1, {}, {**ROW, "tempo": 1.0}, {"a": 1, "b": 2, "c": 3, "d": 4}])
def test_what_is_no_row_of_the_contract_is_left_too(record: Any) -> None:
    """Not an object, features lacking, or others in their place."""
    assert alone(way(BINARY), record) is None


def test_versions_whose_rows_are_never_usual_have_no_short_way() -> None:
    """Several classes, booleans, nothing but text."""
    assert few_rows(engine(NUMBERS, "multiclass")) is None
    assert few_rows(engine(NUMBERS, "binary", booleans=True)) is None
    assert few_rows(engine(["carrier"], "binary")) is None


JSON = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3)
)


SHORT = way(BINARY)


@pytest.mark.parametrize("of", [BINARY, REGRESSION])
def test_rows_put_together_are_answered_as_each_alone(of: Engine) -> None:
    """Up to MANY by one call, in their order; what is not taken in between leaves no trace."""
    short, names = way(of), list(of.contract.names())
    rows = FRAME.dropna()[names].astype(object).head(MANY).to_dict("records")
    for count in (1, 2, 7, MANY):
        for row in rows[:count]:
            assert short.put(row)
            assert not short.put({**row, "temp": "warm"})
        assert short.scores() == [ordinary(of, row) for row in rows[:count]]


def test_beyond_many_there_is_no_room() -> None:
    """Until the scores are asked for."""
    short = way(BINARY)
    assert [short.put(ROW) for _ in range(MANY + 1)] == [True] * MANY + [False]
    assert len(short.scores()) == MANY
    assert short.put(ROW)


@given(st.dictionaries(st.sampled_from(MIXED), JSON, min_size=3))
def test_any_row_gets_the_ordinary_answer_or_none(record: dict[str, Any]) -> None:
    """Whatever JSON holds, the short way never answers what the ordinary way would refuse or answer otherwise."""
    try:
        row = orjson.loads(orjson.dumps(record))
    except orjson.JSONEncodeError:  # an integer beyond 64 bits
        return
    score = alone(SHORT, row)
    assert score is None or score == ordinary(BINARY, row)
