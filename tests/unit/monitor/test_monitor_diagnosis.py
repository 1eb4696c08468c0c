"""Diagnoses as a table: drift verdict, faults and labels in, one cause and one default action out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flyball.monitor.diagnosis import (
    Diagnosis,
    Labels,
    by_inputs,
    diagnosis_from_json,
    moved,
    with_labels,
)
from flyball.monitor.faults import Broken
from flyball.stats.drift import DriftVerdict, FeatureVerdict, Statistic
from flyball.stats.estimate import Estimate

LEVEL = 0.01


def statistic(value: float, *, quiet: float = 0.0, effect: float = 0.0, alarm: bool = False) -> Statistic:
    return Statistic(
        value=value,
        threshold=0.1,
        null_mean=quiet,
        effect=effect,
        effect_low=effect,
        effect_high=effect,
        alarm=alarm,
        strength=1.0,
    )


def feature(name: str, distance: float, missing: float = 0.0) -> FeatureVerdict:
    """A feature whose Jensen-Shannon distance is `distance`, 0.05 on quiet days; drifted if it is beyond 0.1."""
    return FeatureVerdict(
        feature=name,
        verdict="drift" if distance > 0.1 or missing > 0.02 else "steady",
        statistics={"js_distance": statistic(distance, quiet=0.05), "missing": statistic(missing, effect=missing)},
        null="blocks",
        why="",
    )


def drift(*features: FeatureVerdict) -> DriftVerdict:
    alarming = tuple(item.feature for item in features if item.verdict == "drift")
    verdict = "drift" if alarming else "steady" if features else "cannot_judge"
    return DriftVerdict(
        verdict=verdict,  # type: ignore[arg-type]
        rows=500,
        false_alarms=LEVEL,
        level=LEVEL,
        features=features,
        alarming=alarming,
    )


QUIET = drift(feature("x1", 0.05), feature("x2", 0.06))
SHIFTED = drift(feature("x1", 0.45), feature("x2", 0.06))
NULLS = Broken(feature="x1", fault="nulls", why="x1 is missing in 40.0% of rows, usually 0.1%")
IMPORTANCE = {"x1": 0.2, "x2": 0.1}

CALM = Labels(below=False, reason="auc 0.8 on 500 labels", loss=0.0)
WRONG = Labels(below=True, reason="auc 0.3 on 500 labels: beyond chance auc < 0.6", loss=0.5)


def gap(value: float, half: float = 0.04) -> Estimate:
    return Estimate(value=value, low=value - half, high=value + half, rows=500)


@pytest.mark.parametrize(
    ("verdict", "faults", "importance", "expected"),
    [
        (QUIET, (), IMPORTANCE, ("nothing", "none")),
        (drift(), (), IMPORTANCE, ("cannot_judge", "none")),
        (SHIFTED, (NULLS,), IMPORTANCE, ("broken_data", "quarantine")),
        # 0.4 of x1 moved: costs about 0.08
        (SHIFTED, (), IMPORTANCE, ("covariate_drift", "retrain")),
        # the same change of a feature that hardly counts, or that the model does better without: 0.4 x 0.01, 0
        (SHIFTED, (), {"x1": 0.01}, ("covariate_drift", "watch")),
        (SHIFTED, (), {"x1": -0.01}, ("covariate_drift", "watch")),
        # a version that keeps no importance: nobody knows that it is cheap
        (SHIFTED, (), {}, ("covariate_drift", "retrain")),
    ],
)
def test_inputs_alone_have_a_cause_and_an_action(
    verdict: DriftVerdict, faults: tuple[Broken, ...], importance: dict[str, float], expected: tuple[str, str]
) -> None:
    """Faults win; drift is worth a retrain from an estimated loss of 0.01 on."""
    found = by_inputs(verdict, faults, importance=importance)
    assert (found.cause, found.action) == expected


@pytest.mark.parametrize(
    ("verdict", "faults", "labels", "expected"),
    [
        (QUIET, (), CALM, ("nothing", "none")),
        (QUIET, (), WRONG, ("concept_drift", "retrain")),
        # the inputs that moved cost 0.08 of the 0.5 that are lost: they do not explain it;
        (SHIFTED, (), WRONG, ("concept_drift", "retrain")),
        # of 0.1 they do, and so they do where the estimate without labels had foretold it
        (SHIFTED, (), replace(WRONG, loss=0.1), ("covariate_drift", "retrain")),
        (SHIFTED, (), replace(WRONG, estimated_below=True), ("covariate_drift", "retrain")),
        (SHIFTED, (), replace(WRONG, loss=0.1, estimated_below=False), ("concept_drift", "retrain")),
        (SHIFTED, (), CALM, ("covariate_drift", "retrain")),
        # nothing that follows from broken data means anything
        (SHIFTED, (NULLS,), WRONG, ("broken_data", "quarantine")),
        # too few labels: the inputs' diagnosis stands
        (QUIET, (), replace(CALM, below=None), ("nothing", "none")),
        (drift(), (), replace(CALM, below=None), ("cannot_judge", "none")),
        (drift(), (), CALM, ("nothing", "none")),
        # 12 % more came true than was foretold, ranking kept, where days go 1 % up and down by themselves
        (QUIET, (), replace(CALM, gap=gap(0.12), earlier_gaps=[0.01, -0.01] * 10), ("prior_drift", "retrain")),
        (QUIET, (), replace(CALM, gap=gap(-0.12), earlier_gaps=[0.01, -0.01] * 10), ("prior_drift", "retrain")),
        # unusual, and too small to matter; large, and nobody knows yet whether it is unusual
        (QUIET, (), replace(CALM, gap=gap(0.03), earlier_gaps=[0.001, -0.001] * 10), ("nothing", "none")),
        (QUIET, (), replace(CALM, gap=gap(0.12), earlier_gaps=[0.01, -0.01]), ("nothing", "none")),
        # days that go 10 % up and down by themselves
        (QUIET, (), replace(CALM, gap=gap(0.12), earlier_gaps=[0.1, -0.1] * 10), ("nothing", "none")),
    ],
)
def test_labels_tell_causes_apart(
    verdict: DriftVerdict, faults: tuple[Broken, ...], labels: Labels, expected: tuple[str, str]
) -> None:
    """The same window, once its labels are mature."""
    found = with_labels(by_inputs(verdict, faults, importance=IMPORTANCE), labels, level=LEVEL)
    assert (found.cause, found.action) == expected


def test_features_are_ranked_by_what_they_cost() -> None:
    """x1: 0.4 moved x 0.02 = 0.008; x2: 0.2 moved x 0.1 = 0.02; the sentence names the dearest first."""
    both = drift(feature("x1", 0.45), feature("x2", 0.25))
    found = by_inputs(both, (), importance={"x1": 0.02, "x2": 0.1})
    assert [(item.feature, round(item.moved, 6), round(item.cost or 0, 6)) for item in found.features] == [
        ("x2", 0.2, 0.02),
        ("x1", 0.4, 0.008),
    ]
    assert found.reason == "covariate drift: x2 (20% moved, costs about 0.020), x1 (40% moved, costs about 0.008)"


@pytest.mark.parametrize(
    ("judged", "expected"),
    [
        (feature("x", 0.45), 0.4),
        (feature("x", 0.02), 0.0),
        (feature("x", 0.05, missing=0.3), 0.3),
        (feature("x", 9), 1),
    ],
)
def test_what_moved_is_a_share(judged: FeatureVerdict, expected: float) -> None:
    """Distance above that of quiet days, or what went missing; never below 0 or above 1."""
    assert moved(judged) == pytest.approx(expected)


def test_a_diagnosis_is_read_back_as_it_was_kept() -> None:
    """Through JSON and back."""
    found = by_inputs(SHIFTED, (NULLS,), importance=IMPORTANCE)
    assert isinstance(found, Diagnosis)
    assert diagnosis_from_json({**found.to_json(), "labels": "closed", "version": 1}) == found
