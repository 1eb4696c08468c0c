"""Bundles on a real disk, and engines loaded from them."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from flyball.engine.bundle import read_contract, verify_bundle, write_bundle
from flyball.engine.check import columns_from_records
from flyball.engine.compile import compile_model
from flyball.engine.contract import Contract
from flyball.engine.frame import columns_from_frame
from flyball.engine.infer import infer_contract
from flyball.engine.session import load_engine, open_engine
from flyball.engine.threads import Spread
from flyball.errors import Conflict, Corrupt, Mistake

FILES = {"model.onnx": b"graph", "contract.json": b"{}", "profile.json": b"[1, 2]"}


def model_files(*, positive: str = "1") -> tuple[Contract, dict[str, bytes]]:
    """A logistic regression on two numbers: its coefficients are 2 and -1, its intercept 0.5."""
    frame = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 1.0, 0.0]})
    model = LogisticRegression().fit(frame, [0, 1, 0, 1])
    model.coef_, model.intercept_ = np.array([[2.0, -1.0]]), np.array([0.5])
    contract = infer_contract(
        frame, model="m", task="binary", features=["a", "b"], classes=("0", "1"), positive=positive
    )
    return contract, {"model.onnx": compile_model(model, contract), "contract.json": orjson.dumps(contract.to_json())}


def test_a_bundle_holds_its_files_and_a_manifest(tmp_path: Path) -> None:
    """The digest is the manifest's, and the manifest names every file with its size and SHA-256."""
    digest = write_bundle(tmp_path / "v1", FILES)
    assert {path.name for path in (tmp_path / "v1").iterdir()} == {*FILES, "manifest.json"}
    manifest = json.loads((tmp_path / "v1" / "manifest.json").read_text())
    assert manifest["format"] == 1
    assert manifest["files"]["profile.json"] == {
        "bytes": 6,
        "sha256": "3a316d6d3226f84c1e46e4447fa8d5fd800bff4a1bc6498152523cd4a602b69b",
    }
    verify_bundle(tmp_path / "v1", digest)


def test_nothing_else_is_left_beside_a_bundle(tmp_path: Path) -> None:
    """The draft becomes the bundle, or goes."""
    write_bundle(tmp_path / "v1", FILES)
    write_bundle(tmp_path / "v1", FILES)
    assert [path.name for path in tmp_path.iterdir()] == ["v1"]


def test_writing_the_same_bundle_twice_is_one_bundle(tmp_path: Path) -> None:
    """A step that runs again finds its work done."""
    first = write_bundle(tmp_path / "v1", FILES)
    assert write_bundle(tmp_path / "v1", dict(reversed(FILES.items()))) == first


def test_another_bundle_never_replaces_one(tmp_path: Path) -> None:
    """A version is written once."""
    first = write_bundle(tmp_path / "v1", FILES)
    with pytest.raises(Conflict, match="exists and holds something else"):
        write_bundle(tmp_path / "v1", {**FILES, "model.onnx": b"other"})
    verify_bundle(tmp_path / "v1", first)
    assert [path.name for path in tmp_path.iterdir()] == ["v1"]


@pytest.mark.parametrize("name", ["../x", "a/b", ".hidden", "manifest.json", ""])
def test_a_file_has_a_plain_name(tmp_path: Path, name: str) -> None:
    """A bundle is a flat folder."""
    with pytest.raises(Mistake, match="cannot be a file of a bundle"):
        write_bundle(tmp_path / "v1", {name: b""})


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_found_and_the_file_named(tmp_path: Path, name: str) -> None:
    """Whichever file it is in."""
    digest = write_bundle(tmp_path / "v1", FILES)
    path = tmp_path / "v1" / name
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    for known in (digest, None):
        with pytest.raises(Corrupt, match=rf"{name}: its SHA-256"):
            verify_bundle(tmp_path / "v1", known)


@pytest.mark.parametrize(
    ("manifest", "text"),
    [
        (None, "manifest.json is missing"),
        (b"{", "not a manifest"),
        (b"[]", "not a manifest"),
        (b'{"format": 1}', "not a manifest"),
        (b'{"format": 1, "files": {"../x": {}}}', "outside the bundle"),
        (b'{"format": 1, "files": {"gone": {}}}', "gone: is missing"),
        (b'{"format": 1, "files": {"model.onnx": {"bytes": 4}}}', "has 5 bytes, was written with 4"),
    ],
)
def test_a_broken_manifest_is_corrupt(tmp_path: Path, manifest: bytes | None, text: str) -> None:
    """With the file and what is wrong with it."""
    write_bundle(tmp_path / "v1", FILES)
    path = tmp_path / "v1" / "manifest.json"
    path.unlink()
    if manifest is not None:
        path.write_bytes(manifest)
    with pytest.raises(Corrupt, match=text):
        verify_bundle(tmp_path / "v1", None)


def test_a_manifest_of_another_digest_is_corrupt(tmp_path: Path) -> None:
    """A bundle exchanged as a whole is found too."""
    digest = write_bundle(tmp_path / "v1", FILES)
    write_bundle(tmp_path / "v2", {**FILES, "model.onnx": b"other"})
    (tmp_path / "v1").rename(tmp_path / "old")
    (tmp_path / "v2").rename(tmp_path / "v1")
    with pytest.raises(Corrupt, match=r"manifest\.json: SHA-256 .* registered as"):
        verify_bundle(tmp_path / "v1", digest)


def test_a_newer_format_asks_for_an_upgrade(tmp_path: Path) -> None:
    """It is not corrupt, this release cannot read it."""
    write_bundle(tmp_path / "v1", FILES)
    (tmp_path / "v1" / "manifest.json").write_bytes(b'{"format": 2, "files": {}}')
    with pytest.raises(Mistake, match="format 2, this release reads 1"):
        verify_bundle(tmp_path / "v1", None)


def test_a_loaded_engine_answers(tmp_path: Path) -> None:
    """1 / (1 + exp(-(2 * 1 - 1 * 3 + 0.5))) = 0.37754."""
    contract, files = model_files()
    digest = write_bundle(tmp_path / "v1", files)
    engine = load_engine(tmp_path / "v1", digest)
    answer = engine.predict(columns_from_records(contract, [{"a": 1, "b": 3}, {"a": 0, "b": 0.5}]))
    assert engine.contract == contract == read_contract(tmp_path / "v1")
    assert answer.prediction.tolist() == pytest.approx([0.3775406688, 0.5])
    assert answer.probabilities is not None
    assert answer.probabilities[0].tolist() == pytest.approx([0.6224593312, 0.3775406688])


def test_the_positive_class_may_come_first(tmp_path: Path) -> None:
    """The probability answered is the named class's."""
    contract, files = model_files(positive="0")
    engine = load_engine(tmp_path / "v1", write_bundle(tmp_path / "v1", files))
    answer = engine.predict(columns_from_records(contract, [{"a": 1, "b": 3}]))
    assert answer.prediction.tolist() == pytest.approx([0.6224593312])


def test_columns_of_any_mapping_are_answered(tmp_path: Path) -> None:
    """Another version's columns, in another order and with one more, feed this one."""
    _, files = model_files()
    engine = load_engine(tmp_path / "v1", write_bundle(tmp_path / "v1", files))
    columns = {"b": np.array([3.0]), "other": np.array(["x"], dtype=object), "a": np.array([1], dtype=np.int64)}
    assert engine.predict(columns).prediction.tolist() == pytest.approx([0.3775406688])


def test_columns_that_do_not_fit_are_a_mistake(tmp_path: Path) -> None:
    """A version cannot answer without its columns, nor from text."""
    _, files = model_files()
    engine = load_engine(tmp_path / "v1", write_bundle(tmp_path / "v1", files))
    with pytest.raises(Mistake, match="columns b are missing; the model takes a, b"):
        engine.predict({"a": np.array([1.0])})
    with pytest.raises(Mistake, match="column 'b' holds object, needs numbers"):
        engine.predict({"a": np.array([1.0]), "b": np.array(["1"], dtype=object)})


def test_no_rows_are_answered_with_none(tmp_path: Path) -> None:
    """A batch may be empty."""
    contract, files = model_files()
    engine = load_engine(tmp_path / "v1", write_bundle(tmp_path / "v1", files))
    empty = columns_from_frame(contract, pd.DataFrame({"a": [1.0], "b": [1.0]}).head(0))
    assert engine.predict(empty).prediction.tolist() == []


def test_a_graph_that_does_not_load_is_corrupt(tmp_path: Path) -> None:
    """At load, not at the first request."""
    _, files = model_files()
    digest = write_bundle(tmp_path / "v1", {**files, "model.onnx": b"not a graph"})
    with pytest.raises(Corrupt, match=r"v1/model\.onnx: does not answer its example row"):
        load_engine(tmp_path / "v1", digest)
    with pytest.raises(Corrupt, match=r"model\.onnx: cannot be read"):
        load_engine(tmp_path / "v2", write_bundle(tmp_path / "v2", {"contract.json": files["contract.json"]}))


def test_a_graph_of_other_classes_than_its_contract_is_corrupt() -> None:
    """Two probabilities for three classes would be two wrong ones."""
    contract, files = model_files()
    three = Contract.from_json(
        {**contract.to_json(), "task": "multiclass", "classes": ["a", "b", "c"], "positive": None}
    )
    with pytest.raises(Corrupt, match=r"answers \(1, 2\) for one row, the contract says \(1, 3\)"):
        open_engine(three, files["model.onnx"])


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"features": []}'])
def test_a_contract_that_cannot_be_read_is_corrupt(tmp_path: Path, content: bytes) -> None:
    """With its file named."""
    write_bundle(tmp_path / "v1", {"contract.json": content})
    with pytest.raises(Corrupt, match=r"contract\.json: not a contract"):
        read_contract(tmp_path / "v1")


@pytest.mark.parametrize(
    ("proof", "text"),
    [(b'{"passed": false, "rows": 200, "over_tolerance": 9}', "9 of 200 rows differ"), (b"{}", "not a proof")],
)
def test_a_version_whose_own_proof_failed_is_not_loaded(tmp_path: Path, proof: bytes, text: str) -> None:
    """Its bundle is as it was written, and says itself that it does not answer as the model did."""
    digest = write_bundle(tmp_path / "v1", {"model.onnx": b"any", "contract.json": b"{}", "parity.json": proof})
    with pytest.raises(Corrupt, match=text):
        load_engine(tmp_path / "v1", digest)


def test_several_threads_may_ask_one_engine() -> None:
    """Each gets the answers to its own rows."""
    frame = pd.DataFrame({"c": ["x", "y", "z"] * 20})
    model = make_pipeline(OneHotEncoder(), LogisticRegression()).fit(frame, ["p", "q", "r"] * 20)
    contract = infer_contract(
        frame, model="m", task="multiclass", features=["c"], classes=("p", "q", "r"), positive=None
    )
    engine = open_engine(contract, compile_model(model, contract))

    def ask(start: int) -> list[list[str]]:
        values = [["x", "y", "z"][(start + index) % 3] for index in range(5)]
        columns = columns_from_records(contract, [{"c": value} for value in values])
        return [engine.predict(columns).prediction.tolist() for _ in range(200)]

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(ask, range(4)))
    for start, got in enumerate(answers):
        assert got == [[["p", "q", "r"][(start + index) % 3] for index in range(5)]] * 200


def test_a_worker_loads_an_engine_without_the_training_side(tmp_path: Path) -> None:
    """No pandas, no scikit-learn, no onnx: a worker starts fast and stays small."""
    _, files = model_files()
    digest = write_bundle(tmp_path / "v1", files)
    program = (
        "import sys; from pathlib import Path; from flyball.engine.session import load_engine;"
        "load_engine(Path(sys.argv[1]), sys.argv[2]);"
        "print(sorted({'pandas','sklearn','onnx','skl2onnx','scipy','lightgbm','mlflow'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "v1"), digest], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_an_engine_of_more_threads_answers_the_same(tmp_path: Path) -> None:
    """To the bit, whether they were worth it or not: a large batch is cut by its rows."""
    contract, files = model_files()
    digest = write_bundle(tmp_path / "v1", files)
    one, two = (load_engine(tmp_path / "v1", digest, threads=threads) for threads in (1, 2))
    two.spread = Spread(3)
    random = np.random.default_rng(3)
    columns = {name: random.normal(size=2_000).astype(np.float32) for name in contract.names()}
    assert one.spread is None
    assert np.array_equal(one.predict(columns).score, two.predict(columns).score)
