"""What stands for a fitted model: its graph where that is proven, else the model itself. The known traps are here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lightgbm import LGBMClassifier
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from flyball.engine.bundle import write_bundle
from flyball.engine.compile import classes_of
from flyball.engine.infer import infer_contract
from flyball.engine.native import NativeEngine
from flyball.engine.rebuild import rounded
from flyball.engine.session import load_engine
from flyball.errors import Mistake
from flyball.loop.engines import Standing, dismiss, stand_in

pytestmark = pytest.mark.slow  # training runs, one after another

ROWS = 2_000


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Histogram boosting's threads spin, which on a busy machine makes tiny models take seconds."""
    with threadpool_limits(1):
        yield


def table() -> tuple[pd.DataFrame, Any]:
    """Doubles that no float32 holds, a column of 5 codes that matter in no order, and what follows from them."""
    rng = np.random.default_rng(11)
    frame = pd.DataFrame({"x": rng.normal(size=ROWS), "z": rng.normal(1e3, 1.0, ROWS)})
    frame["code"] = rng.integers(0, 5, ROWS)
    y = (frame["x"] + np.isin(frame["code"], [0, 3]) + rng.normal(0, 0.5, ROWS) > 0.4).astype(int)
    return frame, y


FRAME, Y = table()

Stand = Callable[..., Standing]


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """Fits a model and lets its engine stand in for it; ends that with the test."""
    made: list[Standing] = []

    def stood(model: Any, frame: pd.DataFrame = FRAME, **asked: Any) -> Standing:
        fitted = model.fit(frame, Y)
        contract = infer_contract(
            frame, model="m", task="binary", features=list(frame), classes=classes_of(fitted), positive="1"
        )
        made.append(stand_in(fitted, contract, frame, frame, tmp_path / "native", **asked))
        return made[-1]

    yield stood
    for item in made:
        dismiss(item, tmp_path / "native")


def test_a_graph_that_is_proven_stands_for_its_model(stand: Stand) -> None:
    """And nothing is pickled."""
    standing = stand(LogisticRegression(), FRAME[["x", "code"]])
    assert set(standing.files) == {"model.onnx"}
    assert standing.parity["engine"] == "onnx"
    assert "why" not in standing.parity


def test_categories_inside_histogram_boosting_are_served_natively(stand: Stand) -> None:
    """They convert without a word, to other answers on most rows (sklearn-onnx #1051)."""
    standing = stand(HistGradientBoostingClassifier(max_iter=20, categorical_features=[2]))
    assert set(standing.files) == {"model.pickle", "native.json"}
    assert standing.parity["engine"] == "native"
    assert standing.parity["why"].startswith("its categorical_features= cannot be expressed in the graph")
    assert standing.parity["over_tolerance"] == 0


def test_pandas_categories_inside_lightgbm_are_served_natively(stand: Stand) -> None:
    """The codes of a `category` column are not in the graph; here the column comes back with its dtype."""
    frame = FRAME.assign(code=FRAME["code"].map(dict(enumerate("abcde"))).astype("category"))
    standing = stand(LGBMClassifier(n_estimators=20, n_jobs=1, verbose=-1), frame)
    assert standing.parity["engine"] == "native"
    assert standing.parity["over_tolerance"] == 0


def test_a_scaler_before_a_forest_is_counted_and_served_natively(stand: Stand) -> None:
    """In float32 a scaled value falls on the other side of a threshold: parity counts the rows that flip."""
    standing = stand(make_pipeline(StandardScaler(), RandomForestClassifier(60, random_state=0, n_jobs=1)))
    assert standing.parity["engine"] == "native"
    why = standing.parity["why"]
    assert why.startswith("as an ONNX graph it answers otherwise: ")
    assert int(why.split(": ")[1].split(" of ")[0]) > 0.001 * ROWS
    assert standing.parity["over_tolerance"] == 0


def test_a_scaler_before_xgboost_is_counted_and_served_natively(stand: Stand) -> None:
    """Whole trees go the other way there: single rows are off by more than a tenth."""
    xgboost = pytest.importorskip("xgboost")
    standing = stand(make_pipeline(StandardScaler(), xgboost.XGBClassifier(n_estimators=200, n_jobs=1)))
    assert standing.parity["engine"] == "native"
    assert "as an ONNX graph it answers otherwise" in standing.parity["why"]
    assert standing.parity["over_tolerance"] == 0


def test_categories_inside_xgboost_are_served_natively(stand: Stand) -> None:
    """The column comes back as a `category`, with its values in their order."""
    xgboost = pytest.importorskip("xgboost")
    frame = FRAME.assign(code=FRAME["code"].map(dict(enumerate("abcde"))).astype("category"))
    standing = stand(xgboost.XGBClassifier(n_estimators=20, n_jobs=1, enable_categorical=True), frame)
    assert standing.parity["engine"] == "native"
    assert standing.parity["over_tolerance"] == 0


def test_a_transformer_without_a_converter_is_served_natively(stand: Stand) -> None:
    """A function of the user's own has no graph."""
    standing = stand(make_pipeline(FunctionTransformer(np.square), LogisticRegression()), FRAME[["x"]])
    assert standing.parity["engine"] == "native"
    assert "FunctionTransformer" in standing.parity["why"]


def hours(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(asked=frame["asked"].dt.hour)


def test_a_model_with_times_is_served_natively_or_not_at_all(stand: Stand) -> None:
    """No graph takes them; the model gets them back in training's zone, at the hours that clocks there have twice too."""
    asked = pd.Series(pd.date_range("2013-10-26", periods=ROWS, freq="97s", tz="Europe/Berlin", unit="ns"))
    frame = FRAME[["x"]].assign(asked=asked + pd.Timedelta(123, "ns"))
    model = make_pipeline(FunctionTransformer(hours), LogisticRegression())
    standing = stand(model, frame)
    assert (standing.parity["engine"], standing.parity["over_tolerance"]) == ("native", 0)
    assert standing.parity["why"].startswith("no graph takes timestamps, such as its column 'asked'. Give the model")
    with pytest.raises(
        Mistake, match=r"Pipeline cannot be compiled to ONNX: no graph takes timestamps, .* numbers made of it, such as"
    ):
        stand(model, frame, choice="onnx")


def test_a_native_model_is_loaded_again_from_its_bundle(stand: Stand, tmp_path: Path) -> None:
    """It answers as it stood."""
    standing = stand(make_pipeline(FunctionTransformer(np.square), LogisticRegression()), FRAME[["x"]])
    contract = (tmp_path / "native" / "contract.json").read_bytes()
    digest = write_bundle(tmp_path / "bundle", {**standing.files, "contract.json": contract})
    again = load_engine(tmp_path / "bundle", digest)
    assert isinstance(again, NativeEngine)
    columns = {"x": rounded(FRAME, ["x"])["x"].to_numpy(np.float32)}
    assert np.array_equal(again.predict(columns).score, standing.engine.predict(columns).score)
    again.close()


def test_a_project_may_ask_for_the_model_itself(stand: Stand) -> None:
    """Though a graph would do."""
    standing = stand(LogisticRegression(), FRAME[["x", "code"]], choice="native")
    assert standing.parity["engine"] == "native"
    assert standing.parity["why"] == 'the project asks for it: [serving] engine = "native"'


def test_a_project_may_ask_for_a_graph_or_nothing(stand: Stand) -> None:
    """The model that cannot be compiled, and the one whose graph answers otherwise, are refused with the reason."""
    with pytest.raises(Mistake, match=r"cannot be compiled to ONNX: its categorical_features="):
        stand(HistGradientBoostingClassifier(max_iter=5, categorical_features=[2]), choice="onnx")
    forest = make_pipeline(StandardScaler(), RandomForestClassifier(60, random_state=0, n_jobs=1))
    with pytest.raises(
        Mistake, match=r'not the fitted one: \d+ of 2000 rows differ by more than 1e-05 .*engine = "auto"'
    ):
        stand(forest, choice="onnx")


def test_what_counts_as_another_answer_is_the_projects_to_say(stand: Stand) -> None:
    """A forest whose rows flip by a few votes of 60 is its graph to who allows a tenth."""
    forest = make_pipeline(StandardScaler(), RandomForestClassifier(60, random_state=0, n_jobs=1))
    standing = stand(forest, choice="onnx", tolerance=0.1)
    assert standing.parity["engine"] == "onnx"
    assert standing.parity["tolerance"] == 0.1
    assert standing.parity["max_difference"] > 1e-3


class Moody(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # sklearn ships no types
    """Answers by how many rows it has been asked so far."""

    def fit(self, frame: pd.DataFrame, y: Any) -> Moody:
        self.classes_ = np.unique(y)
        self.asked_ = 0
        return self

    def predict_proba(self, frame: pd.DataFrame) -> Any:
        self.asked_ += len(frame)
        share = np.full(len(frame), min(self.asked_, 9_000) / 10_000 if len(frame) > 1 else 0.5)
        return np.column_stack([1 - share, share])


def test_a_model_that_answers_otherwise_natively_too_is_refused(stand: Stand) -> None:
    """What cannot be proven is not served."""
    with pytest.raises(
        Mistake, match=r"(?s)Moody is not served as a graph \(.*does not answer as it does here: 2000 of 2000"
    ):
        stand(Moody())
