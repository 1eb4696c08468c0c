"""What is taken for a feature's name, and for a class, where an ONNX graph comes without a fitted model."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from flyball.engine.given_reading import identifier
from flyball.engine.infer import kind_of_labels, labels_in
from flyball.errors import Mistake


@pytest.mark.parametrize(
    ("name", "written"),
    [("x1", "x1"), ("dep delay (min)", "dep_delay__min_"), ("1a", "_1a"), ("c-x", "c_x"), ("größe", "gr__e")],
)
def test_an_exporter_writes_a_name_as_an_identifier(name: str, written: str) -> None:
    """As skl2onnx does."""
    assert identifier(name) == written


@pytest.mark.parametrize(
    ("target", "labels", "kind"),
    [
        ([10, 2, 2, 1], (1, 2, 10), "integer"),
        (["late", "early", None], ("early", "late"), "text"),
        ([True, False], (False, True), "boolean"),
        ([1.0, 0.0, None], (0.0, 1.0), "number"),
        (pd.Categorical(["b", "a"], categories=["b", "a", "unseen"]), ("a", "b"), "text"),
        (pd.array([1, None, 0], dtype="Int64"), (0, 1), "integer"),
    ],
)
def test_classes_are_the_labels_sorted(target: Any, labels: Any, kind: str) -> None:
    """Numbers by size, text by letters, whatever order a category has; a missing label is none."""
    found = labels_in(pd.Series(target, name="y"))
    assert found == labels
    assert kind_of_labels(found) == kind


def test_labels_of_several_types_are_refused() -> None:
    """They have no order."""
    with pytest.raises(Mistake, match="column 'y' holds labels of type int, str; make them one type"):
        labels_in(pd.Series([1, "1"], name="y"))
