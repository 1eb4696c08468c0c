"""Models in processes of their own: asked, killed, hanging, failing, ended."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from flyball.engine.bundle import write_bundle
from flyball.engine.check import columns_from_records
from flyball.engine.compile import classes_of
from flyball.engine.infer import infer_contract
from flyball.engine.native import ModelAway, ModelFailed, ModelTooSlow, NativeEngine
from flyball.engine.native_files import native_files
from flyball.engine.parity import prove
from flyball.engine.rebuild import rounded
from flyball.engine.session import load_engine
from flyball.errors import Corrupt, Mistake, Unavailable

DEADLINE_S = 30.0
FRAME = pd.DataFrame({"x": [0.25, 0.5, 0.75, 1.0], "carrier": ["UA", "AA", None, "UA"]})


class Odd:
    """Answers x as the probability; a negative x is a wish: to fail, to hang, or to die.

    Its process starts soon, for it needs no scikit-learn.
    """

    def fit(self, frame: pd.DataFrame, y: Any) -> Odd:
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, frame: pd.DataFrame) -> Any:
        x = frame["x"].to_numpy()
        if (x == -1).any():
            raise ValueError(f"secret {x}")
        if (x == -2).any():
            time.sleep(600)
        if (x == -3).any():
            os.kill(os.getpid(), signal.SIGSEGV)
        return np.column_stack([1 - x, x])


class Unloadable(Odd):
    """Ends the process that loads it."""

    def __setstate__(self, state: Any) -> None:
        os._exit(3)


def files_of(fitted: Any, frame: pd.DataFrame = FRAME) -> dict[str, bytes]:
    contract = infer_contract(
        frame, model="odd", task="binary", features=list(frame), classes=classes_of(fitted), positive="1"
    )
    made = native_files(fitted, contract, frame, why="for a test", project=Path(__file__).parent)
    return {**made, "contract.json": orjson.dumps(contract.to_json())}


def row(x: float) -> Any:
    return {"x": x, "carrier": "UA"}


def ask(engine: NativeEngine, *numbers: float) -> list[float]:
    answer = engine.predict(columns_from_records(engine.contract, [row(x) for x in numbers]))
    return list(answer.score.tolist())


def eventually(holds: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if value := holds():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {DEADLINE_S:g} s: {what}")


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def answers_again(engine: NativeEngine) -> int:
    """Wait until it does; the process that answers."""

    def answers() -> bool:
        try:
            return ask(engine, 0.5) == [0.5]
        except ModelAway:
            return False

    eventually(answers, "the model answers again")
    assert engine.process.pid is not None
    return engine.process.pid


@pytest.fixture(scope="module")
def odd() -> dict[str, bytes]:
    return files_of(Odd().fit(FRAME, [0, 1, 0, 1]))


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, odd: dict[str, bytes]) -> Iterator[NativeEngine]:
    """One for all: whoever harms its process waits until it answers again."""
    folder = tmp_path_factory.mktemp("odd") / "b"
    loaded = load_engine(folder, write_bundle(folder, odd))
    assert isinstance(loaded, NativeEngine)
    yield loaded
    loaded.close()


def test_a_native_model_answers_as_it_does_here(tmp_path: Path) -> None:
    """Text with missing values, and categories inside trees, which no graph can express."""
    rng = np.random.default_rng(7)
    frame = pd.DataFrame({"x": rng.normal(size=400), "carrier": rng.choice(["UA", "AA", None], 400)})
    y = ((frame["x"] > 0) ^ (frame["carrier"] == "UA")).astype(int)
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    trees = HistGradientBoostingClassifier(max_iter=5, categorical_features=[1])
    columns = ColumnTransformer([("n", "passthrough", ["x"]), ("c", codes, ["carrier"])])
    fitted = make_pipeline(columns, trees).fit(frame, y)
    loaded = load_engine(tmp_path / "b", write_bundle(tmp_path / "b", files_of(fitted, frame)))
    parity = prove(fitted, loaded, rounded(frame, ["x"]))
    assert parity.over_tolerance == 0
    assert parity.max_difference < 1e-7


def test_what_the_project_defines_travels_with_the_model(engine: NativeEngine) -> None:
    """`Odd` is a class of this module, which the other process cannot import."""
    assert ask(engine, 0.25, 0.75) == [0.25, 0.75]


def test_more_rows_than_one_call_takes_are_asked_for_in_parts(engine: NativeEngine) -> None:
    """In order, and none twice: 25,000 rows are three calls."""
    x = (np.arange(25_000) / 25_000).astype(np.float32)
    carrier = np.full(25_000, "UA", dtype=object)
    assert np.array_equal(engine.predict({"x": x, "carrier": carrier}).score, x)


def test_no_rows_are_answered_with_none(engine: NativeEngine) -> None:
    """As an ONNX graph does."""
    columns = {"x": np.empty(0, np.float32), "carrier": np.empty(0, object)}
    assert engine.predict(columns).score.shape == (0,)


def test_a_killed_process_is_started_again(engine: NativeEngine) -> None:
    """Whoever asks meanwhile is told that it is away."""
    first = engine.process.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    eventually(lambda: engine.process.pid != first, "its death is seen")
    assert answers_again(engine) != first


def test_a_model_that_crashes_its_process_is_started_again(engine: NativeEngine) -> None:
    """A segmentation fault is the model's own matter."""
    first = engine.process.pid
    with pytest.raises(ModelAway, match="has died and is started again"):
        ask(engine, -3)
    assert answers_again(engine) != first


def test_a_model_that_hangs_is_killed_and_started_again(engine: NativeEngine) -> None:
    """No answer within the time it has."""
    first = engine.process.pid
    engine.process.timeout_s = 0.2
    with pytest.raises(ModelTooSlow, match=r"no answer within 0\.2 s"):
        ask(engine, -2)
    engine.process.timeout_s = 20.0
    assert answers_again(engine) != first


def test_an_error_of_the_model_is_told_without_values_and_ends_nothing(engine: NativeEngine) -> None:
    """Its type is told; its text may hold what was asked."""
    first = engine.process.pid
    with pytest.raises(ModelFailed, match=r"the model raised ValueError$"):
        ask(engine, 0.5, -1)
    assert ask(engine, 0.5) == [0.5]
    assert engine.process.pid == first


def test_the_process_ends_with_the_last_reference_to_its_engine(tmp_path: Path, odd: dict[str, bytes]) -> None:
    """Nobody need remember to close it."""
    loaded = load_engine(tmp_path / "b", write_bundle(tmp_path / "b", odd))
    assert isinstance(loaded, NativeEngine)
    pid = loaded.process.pid
    assert pid is not None
    assert alive(pid)
    del loaded
    gc.collect()
    assert not alive(pid)


def test_the_process_ends_with_the_one_that_started_it(tmp_path: Path, odd: dict[str, bytes]) -> None:
    """Even when that is killed, and even in the middle of a call."""
    write_bundle(tmp_path / "b", odd)
    program = (
        "import sys; from pathlib import Path; from flyball.engine.session import load_engine;"
        "from flyball.engine.check import columns_from_records;"
        "engine = load_engine(Path(sys.argv[1]), None); print(engine.process.pid, flush=True);"
        "engine.predict(columns_from_records(engine.contract, [{'x': -2.0, 'carrier': 'UA'}]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "b")], stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        pid = int(starter.stdout.readline())
        assert alive(pid)
        starter.kill()
    eventually(lambda: not alive(pid), "the model's process has ended")


def test_whoever_asks_loads_nothing_of_the_training_side(tmp_path: Path, odd: dict[str, bytes]) -> None:
    """A worker unpickles nothing, and stays small."""
    write_bundle(tmp_path / "b", odd)
    program = (
        "import sys; from pathlib import Path; from flyball.engine.session import load_engine;"
        "load_engine(Path(sys.argv[1]), None);"
        "print(sorted({'pandas','sklearn','onnx','cloudpickle','scipy','mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "b")], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_changed_pickle_is_not_loaded(tmp_path: Path, odd: dict[str, bytes]) -> None:
    """A pickle is code: its digest is checked before anything reads it."""
    digest = write_bundle(tmp_path / "b", odd)
    path = tmp_path / "b" / "model.pickle"
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    with pytest.raises(Corrupt, match=r"model\.pickle: its SHA-256"):
        load_engine(tmp_path / "b", digest)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"answer": [0.5, 0.5]}, "answers its example row with .* in training with"),
        ({"python_version": "2.7.18"}, r"pickled by Python 2\.7\.18, this is .*train it again here"),
        ({"format": 99}, "format 99.*upgrade flyball"),
        ({"columns": None}, "cannot be loaded"),
    ],
)
def test_a_model_that_would_answer_otherwise_is_refused(
    tmp_path: Path, odd: dict[str, bytes], change: dict[str, Any], text: str
) -> None:
    """Another environment than the one it was made in may make another model of it."""
    about = {**orjson.loads(odd["native.json"]), **change}
    write_bundle(tmp_path / "b", {**odd, "native.json": orjson.dumps(about)})
    with pytest.raises(Corrupt, match=rf"(?s){text}"):
        load_engine(tmp_path / "b", None)


def test_a_model_that_ends_the_process_loading_it_is_refused(tmp_path: Path) -> None:
    """At once: it is not tried for ever."""
    write_bundle(tmp_path / "b", files_of(Unloadable().fit(FRAME, [0, 1, 0, 1])))
    with pytest.raises(Unavailable, match="ended before its model was loaded"):
        load_engine(tmp_path / "b", None)


def test_a_model_that_cannot_be_pickled_is_refused() -> None:
    """With its type and what holds it up."""
    fitted = Odd().fit(FRAME, [0, 1, 0, 1])
    fitted.file = sys.stdout
    with pytest.raises(Mistake, match=r"Odd cannot be pickled.*return a model that can be"):
        files_of(fitted)


def test_native_json_says_why_and_of_what() -> None:
    """For whoever reads a bundle."""
    about = orjson.loads(files_of(Odd().fit(FRAME, [0, 1, 0, 1]))["native.json"])
    assert about["why"] == "for a test"
    assert about["python"] == sys.executable
    assert about["packages"]["pandas"] == pd.__version__
    assert [column["dtype"] for column in about["columns"]] == ["float64", str(FRAME["carrier"].dtype)]
