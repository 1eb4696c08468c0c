"""Results as files: what goes in comes out, and what cannot is refused."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from flyball.errors import Corrupt, Mistake
from flyball.pipeline.artifact import Artifact, is_intact, load, save


def kept(value: Any, root: Path) -> tuple[Artifact, Any]:
    artifact = save(value, root / "step" / "1" / "value", root=root)
    return artifact, load(artifact, root)


TABLE = pd.DataFrame(
    {
        "integer": np.array([1, 2, 3], dtype="int16"),
        "number": np.array([1.5, np.nan, -0.0], dtype="float32"),
        "nullable": pd.array([1, None, 3], dtype="Int64"),
        "flag": [True, False, True],
        "text": ["a", None, "c"],
        "level": pd.Categorical(["lo", "hi", None], categories=["hi", "lo", "unseen"], ordered=True),
        "grade": pd.Categorical([3, 1, 3], categories=[3, 2, 1]),
        "nothing": pd.Categorical([None, None, None]),
        "switch": pd.Categorical([True, None, False], ordered=True),
        "at": pd.to_datetime(["2013-01-01", "2013-06-01", None], utc=True).tz_convert("America/New_York"),
        "lasted": pd.to_timedelta([1, 2, 3], unit="s"),
    }
)


def test_a_pandas_table_keeps_its_columns_order_types_and_categories(tmp_path: Path) -> None:
    """Unseen and ordered categories, nullable integers, zones: training must see what preprocessing returned."""
    artifact, again = kept(TABLE, tmp_path)
    pd.testing.assert_frame_equal(again, TABLE)
    assert (artifact.kind, artifact.path, artifact.rows) == ("pandas", "step/1/value", 3)
    assert artifact.bytes == sum(path.stat().st_size for path in (tmp_path / artifact.path).iterdir())


def test_row_numbers_left_by_a_filter_are_dropped(tmp_path: Path) -> None:
    """A filtered table's index says nothing."""
    _, again = kept(TABLE[TABLE["flag"]], tmp_path)
    assert list(again.index) == [0, 1]
    assert list(again["integer"]) == [1, 3]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (TABLE.set_index("text"), "names: text; str"),
        (TABLE.set_index(["text", "flag"]), "names: text, flag; object"),
        (TABLE.rename_axis("flight"), "names: flight; int64"),
    ],
)
def test_an_index_that_says_something_is_refused_with_its_mend(
    table: pd.DataFrame, message: str, tmp_path: Path
) -> None:
    """It would be lost without a word."""
    with pytest.raises(Mistake) as caught:
        kept(table, tmp_path)
    assert str(caught.value) == (
        f"this pandas table has an index that would be lost ({message}); "
        "return table.reset_index(), or table.reset_index(drop=True) if it says nothing"
    )
    assert list((tmp_path / "step" / "1").iterdir()) == []


def test_a_column_of_several_types_is_refused(tmp_path: Path) -> None:
    """Parquet has one type per column."""
    with pytest.raises(Mistake, match=r"cannot be kept as Parquet: .*column mixed.*; give each column one type"):
        kept(pd.DataFrame({"mixed": [1, "two", object()]}), tmp_path)


def test_categories_that_cannot_be_told_again_are_refused(tmp_path: Path) -> None:
    """Times as categories come back as something else."""
    table = pd.DataFrame({"day": pd.Categorical(pd.to_datetime(["2013-01-01", "2013-01-02"]))})
    with pytest.raises(Mistake, match=r"categories in 'day' are datetime64\[us\]; make them texts"):
        kept(table, tmp_path)


def test_columns_that_are_not_texts_or_not_unique_are_refused(tmp_path: Path) -> None:
    """Columns are named in flyball.toml."""
    with pytest.raises(Mistake, match=r"column names that are not texts: \[0, 1\]; rename them"):
        kept(pd.DataFrame([[1, 2]]), tmp_path)
    with pytest.raises(Mistake, match=r"columns of one name: \['a'\]"):
        kept(pd.DataFrame([[1, 2]], columns=["a", "a"]), tmp_path)


def test_a_pyarrow_table_comes_back_equal(tmp_path: Path) -> None:
    """Types and metadata included."""
    table = pa.table({"n": pa.array([1, 2], pa.uint8()), "d": pa.array([Decimal("1.50"), None])})
    artifact, again = kept(table, tmp_path)
    assert again.equals(table)
    assert (artifact.kind, artifact.rows) == ("arrow", 2)


@pytest.mark.parametrize(
    "array",
    [np.array([[1.5, np.nan]], dtype="float32"), np.array(3), np.array([], dtype="int8"), np.array(["a", "bc"])],
)
def test_an_array_keeps_its_type_and_shape(array: np.ndarray, tmp_path: Path) -> None:
    """Without pickle."""
    artifact, again = kept(array, tmp_path)
    np.testing.assert_array_equal(again, array, strict=True)
    assert artifact.kind == "numpy"


@pytest.mark.parametrize("scalar", [np.float64(0.75), np.int8(-3), np.bool_(True), np.datetime64("2013-01-01")])
def test_a_numpy_scalar_stays_one(scalar: np.generic, tmp_path: Path) -> None:
    """Metrics are often such."""
    artifact, again = kept({"metric": scalar}, tmp_path)
    assert (again["metric"], type(again["metric"])) == (scalar, type(scalar))
    assert (tmp_path / artifact.path / "value.0.npy").exists()


def test_an_array_of_objects_is_pickled(tmp_path: Path) -> None:
    """Numbers of any size have no place in .npy."""
    artifact, again = kept(np.array([2**100, None], dtype=object), tmp_path)
    assert (artifact.kind, list(again)) == ("pickle", [2**100, None])


def test_a_fitted_model_comes_back_fitted(tmp_path: Path) -> None:
    """y = 2 x + 1 through two points."""
    artifact, again = kept(LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0]), tmp_path)
    assert artifact.kind == "pickle"
    assert again.predict([[2.0]]) == pytest.approx([5.0])


def test_tuples_and_dicts_of_tables_arrays_and_models_nest(tmp_path: Path) -> None:
    """Each leaf lies in the form that suits it."""
    artifact, again = kept((TABLE, {"x": np.arange(3), "deep": (1, [2.5, None])}), tmp_path)
    pd.testing.assert_frame_equal(again[0], TABLE)
    np.testing.assert_array_equal(again[1]["x"], np.arange(3))
    assert again[1]["deep"] == (1, [2.5, None])
    assert (artifact.kind, artifact.rows) == ("tuple", None)
    names = sorted(path.name for path in (tmp_path / artifact.path).iterdir())
    assert names == ["layout.json", "value.0.parquet", "value.1.0.npy", "value.1.1.0.json", "value.1.1.1.json"]


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.just(datetime(2013, 1, 1, tzinfo=UTC)),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=values)
def test_any_plain_value_comes_back_the_same_in_value_and_type(value: Any, tmp_path: Path) -> None:
    """NaN stays NaN, tuples stay tuples, -0.0 stays -0.0, big integers stay whole: repr tells them apart."""
    folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
    assert repr(load(save(value, folder, root=tmp_path), tmp_path)) == repr(value)


def test_what_cannot_be_pickled_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    """The message names the type and what could be returned instead."""
    with pytest.raises(
        Mistake, match=r"a result of type _thread\.lock cannot be pickled: .*; return a table, an array"
    ):
        kept(threading.Lock(), tmp_path)
    assert list((tmp_path / "step" / "1").iterdir()) == []


def graph(weight: float) -> onnx.ModelProto:
    """y = x * weight."""
    value = onnx.helper.make_tensor_value_info
    made = onnx.helper.make_graph(
        [onnx.helper.make_node("Mul", ["x", "w"], ["y"])],
        "times",
        [value("x", onnx.TensorProto.FLOAT, ["n"])],
        [value("y", onnx.TensorProto.FLOAT, ["n"])],
        [onnx.numpy_helper.from_array(np.float32([weight]), "w")],
    )
    return onnx.helper.make_model(made)


def test_an_onnx_model_is_kept_as_onnx(tmp_path: Path) -> None:
    """Anybody's tools read it; nothing is pickled."""
    artifact, again = kept(graph(2.0), tmp_path)
    assert artifact.kind == "onnx"
    assert again == graph(2.0)
    assert onnx.load(tmp_path / artifact.path / "value.onnx") == graph(2.0)


def test_the_path_of_an_onnx_file_keeps_what_the_file_held(tmp_path: Path) -> None:
    """Weights in a file beside it too; the step may write both anew."""
    path = tmp_path / "model.onnx"
    onnx.save(graph(2.0), path, save_as_external_data=True, location="weights", size_threshold=0)
    artifact, again = kept({"model": path}, tmp_path)
    path.unlink()
    path.with_name("weights").unlink()
    assert again["model"] == tmp_path / artifact.path / "value.0.onnx"
    (weight,) = onnx.load(again["model"]).graph.initializer
    assert onnx.numpy_helper.to_array(weight).tolist() == [2.0]


def test_the_path_of_an_onnx_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """When the step ends, not when the model is wanted."""
    with pytest.raises(Mistake, match=r"the ONNX file model\.onnx does not exist; return the path of a file"):
        kept(tmp_path / "model.onnx", tmp_path)


def test_any_other_path_is_kept_as_a_path(tmp_path: Path) -> None:
    """What lies there is the step's own affair."""
    assert kept(Path("rows.parquet"), tmp_path)[1] == Path("rows.parquet")


def test_a_changed_byte_and_a_missing_file_are_noticed(tmp_path: Path) -> None:
    """Intact means: the bytes that were written."""
    artifact, _ = kept((1, "two"), tmp_path)
    assert is_intact(artifact, tmp_path)
    file = tmp_path / artifact.path / "value.1.json"
    file.write_bytes(b'"tWo"')
    assert not is_intact(artifact, tmp_path)
    file.unlink()
    assert not is_intact(artifact, tmp_path)
    with pytest.raises(Corrupt, match=r"is incomplete: .*; run the step again"):
        load(artifact, tmp_path)


def test_the_same_value_has_the_same_digest(tmp_path: Path) -> None:
    """Nothing of time or place enters it."""
    one = save(TABLE, tmp_path / "one", root=tmp_path)
    other = save(TABLE, tmp_path / "deep" / "other", root=tmp_path)
    assert one.sha256 == other.sha256


def test_an_artifact_survives_json() -> None:
    """It lies in the database as text."""
    artifact = Artifact(kind="json", path="a/1/value", sha256="0" * 64, rows=None, bytes=2)
    assert Artifact.from_json(artifact.to_json()) == artifact
