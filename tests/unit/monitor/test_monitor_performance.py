"""Performance verdicts as a table of cases."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from flyball.monitor.performance import judge_performance, metrics_json
from flyball.project.rules import parse_rule


def table(rows: list[dict[str, Any]]) -> pa.Table:
    schema = pa.schema(
        [("version", pa.int64()), ("variant", pa.string()), ("score", pa.float64()), ("label", pa.float64())]
    )
    return pa.Table.from_pylist(rows, schema=schema)


def answers(right: int, wrong: int, *, version: int = 1, label: float | None = 1.0) -> list[dict[str, Any]]:
    """Rows that were labelled 1 and answered 0.9 or 0.1."""
    scores = [0.9] * right + [0.1] * wrong
    return [{"version": version, "variant": f"v{version}", "score": score, "label": label} for score in scores]


def verdict(rows: list[dict[str, Any]], rule: str | None = "accuracy < 0.7") -> tuple[str, str]:
    got = judge_performance(
        table(rows), task="binary", classes=None, rule=parse_rule(rule) if rule else None, confidence=0.95
    )
    return got.verdict, got.reason


@pytest.mark.parametrize(
    ("right", "wrong", "expected"),
    [
        (90, 10, "kept"),
        (65, 35, "kept"),  # 0.65 with 0.74 as its upper end: not beyond chance
        (60, 40, "below"),  # 0.60 with 0.696 as its upper end
        (25, 24, "cannot_judge"),
    ],
)
def test_a_promise_is_broken_only_beyond_chance(right: int, wrong: int, expected: str) -> None:
    """Below where the interval's upper end is below; 49 labels say nothing."""
    assert verdict(answers(right, wrong))[0] == expected


def test_a_greater_is_worse_promise_alarms_above() -> None:
    """log_loss > 0.5: its lower end counts."""
    assert verdict(answers(40, 60), "log_loss > 0.5")[0] == "below"
    assert verdict(answers(98, 2), "log_loss > 0.5")[0] == "kept"


def test_labels_that_may_still_come_make_a_window_immature() -> None:
    """30 of 100 known."""
    assert verdict(answers(30, 0) + answers(70, 0, label=None)) == (
        "immature",
        "30 labels of 100 rows; at least 50 are needed",
    )


def test_no_predictions_cannot_be_judged() -> None:
    """An empty window is not a kept promise."""
    assert verdict([]) == ("cannot_judge", "no predictions")


def test_without_a_promise_nothing_is_broken() -> None:
    """Metrics are kept all the same."""
    assert verdict(answers(10, 90), None)[0] == "kept"


def test_a_metric_of_one_class_cannot_be_judged() -> None:
    """AUC of positives only is nan: neither kept nor below."""
    assert verdict(answers(90, 10), "auc < 0.7")[0] == "cannot_judge"


def test_the_version_that_answered_last_is_judged_and_all_are_measured() -> None:
    """A bad version that was replaced within the day is measured, and alarms no more."""
    got = judge_performance(
        table(answers(10, 90, version=1) + answers(95, 5, version=2)),
        task="binary",
        classes=None,
        rule=parse_rule("accuracy < 0.7"),
        confidence=0.95,
    )
    assert (got.verdict, got.version, got.rows, got.labels) == ("kept", 2, 100, 100)
    assert {key: round(found["accuracy"].value, 2) for key, found in got.metrics.items()} == {
        (1, "v1"): 0.1,
        (2, "v2"): 0.95,
    }


def test_labels_that_are_no_value_of_the_task_are_left_out() -> None:
    """A label of 2, nan or nothing, or a lost score, must not stop the loop."""
    odd = answers(3, 0, label=2) + answers(1, 0, label=math.nan)
    odd.append({"version": 1, "variant": "v1", "score": None, "label": 1.0})
    got = judge_performance(table(odd + answers(60, 0)), task="binary", classes=None, rule=None, confidence=0.95)
    assert (got.rows, got.labels) == (65, 60)


def test_a_multiclass_model_is_judged_by_its_answered_classes() -> None:
    """The lake holds labels as text and no probabilities: accuracy and macro F1, no log loss."""
    truth = ["cat", "dog", None] * 40
    said = ["cat", "cat", "dog"] * 40
    rows = pa.table(
        {"version": [1] * 120, "variant": ["v1"] * 120, "label_text": truth, "prediction": said, "score": [0.9] * 120}
    )
    got = judge_performance(rows, task="multiclass", classes=None, rule=parse_rule("accuracy < 0.7"), confidence=0.95)
    found = got.metrics[1, "v1"]
    assert sorted(found) == ["accuracy", "macro_f1"]
    assert (found["accuracy"].value, found["macro_f1"].value) == (0.5, pytest.approx(1 / 3))
    assert got.verdict == "below"


def test_a_regression_is_judged_by_its_errors() -> None:
    """Errors of 1 and 3 in turn: mae 2."""
    rows = [{"version": 1, "variant": "v1", "score": float(i), "label": i + 1.0 + 2 * (i % 2)} for i in range(100)]
    got = judge_performance(table(rows), task="regression", classes=None, rule=parse_rule("mae > 1.5"), confidence=0.95)
    assert (got.verdict, got.metrics[1, "v1"]["mae"].value) == ("below", 2)


def test_unknown_values_are_written_as_null() -> None:
    """JSON and SQL know no nan."""
    got = judge_performance(table(answers(60, 0)), task="binary", classes=None, rule=None, confidence=0.95)
    by_name = {item["metric"]: item for item in metrics_json(got)}
    assert by_name["auc"]["value"] is None
    assert by_name["accuracy"]["value"] == 1
    assert np.isfinite(by_name["brier"]["high"])
