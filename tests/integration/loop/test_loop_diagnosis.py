"""Faults injected into a real project's rows: each has its own diagnosis, its own default action, its own alert."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pytest

from flyball.engine.session import load_engine
from flyball.journal.line import encode_error, encode_outcomes, encode_predictions
from flyball.loop.alerts import alerts
from flyball.loop.diagnosing import of_closed
from flyball.loop.importance import kept_importance
from flyball.loop.site import Site
from flyball.loop.tick import tick
from flyball.pipeline.runs import runs_of
from flyball.project.rules import parse_rule
from flyball.registry.decisions import decisions
from flyball.registry.versions import version
from flyball.store import stamp
from tests.integration.loop.conftest import DAY, START, _append, settled

pytestmark = pytest.mark.slow  # training runs, one after another

MIDNIGHT = START.replace(hour=0)
ROWS = 400
Columns = dict[str, npt.NDArray[np.float32]]


def quiet(day: datetime) -> Columns:
    random = np.random.default_rng(day.toordinal())
    return {name: random.normal(size=ROWS).astype(np.float32) for name in ("x1", "x2")}


def answer(site: Site, day: datetime, served: Columns, *, flipped: bool = False, truth: Columns | None = None) -> None:
    """A day of v1's answers to what was served, and what came true of what really was (`truth`, as served by default)."""
    bundle = version(site.database, "late", 1)
    engine = load_engine(site.home.path / bundle.bundle, bundle.digest)
    score = engine.predict(served).score
    ids = [f"{day:%m%d}-{number}" for number in range(ROWS)]
    at, told_at = stamp(day + timedelta(hours=12)), stamp(day + timedelta(hours=13))
    line = encode_predictions(
        model="late",
        version=1,
        variant="live",
        role="live",
        source="http",
        generation=1,
        request_id="r",
        ids=ids,
        timestamp=at,
        received_at=at,
        latency_ms=1.0,
        key=ids,
        features=served,
        prediction=score,
        score=score,
    )
    _append(site, "predictions", line)
    real = truth or served
    random = np.random.default_rng(day.toordinal() + 1)
    y = random.random(ROWS) < 1 / (1 + np.exp(-1.5 * (real["x1"] + real["x2"])))
    outcomes: list[dict[str, Any]] = [
        {"outcome_id": f"o-{key}", "id": key, "name": "label", "value": int(value != flipped), "timestamp": told_at}
        for key, value in zip(ids, y, strict=True)
    ]
    _append(site, "outcomes", encode_outcomes(model="late", received_at=told_at, outcomes=outcomes))


def watched(site: Site) -> Site:
    """Retrains on drift and on a broken promise, at once, and no schedule beside them."""
    return settled(
        site,
        pipeline={"schedule": None},
        retrain={"on": ("drift", "performance"), "performance": parse_rule("auc < 0.6"), "cooldown_s": 0.0},
    )


def diagnoses(site: Site) -> list[tuple[str, str, str]]:
    """(labels, cause, action), newest first."""
    found = decisions(site.database, "late", kind="diagnosis")
    return [(item.evidence["labels"], item.verdict, item.evidence["action"]) for item in found]


def test_a_version_keeps_what_each_feature_is_worth(site: Site) -> None:
    """v1 looks at x1 only: x1 holds all it knows, x2 nothing."""
    kept = kept_importance(site.home.path / version(site.database, "late", 1).bundle)
    assert kept["x1"] > 0.2
    assert kept["x2"] == 0.0


def test_nulls_upstream_are_broken_data_and_no_retrain(site: Site) -> None:
    """For two days every other row's x1 is gone: quarantined, told once, nothing trained; whole again, the hold is over."""
    careful = watched(site)
    for number in range(2):
        served = quiet(MIDNIGHT + number * DAY)
        truth = {name: values.copy() for name, values in served.items()}
        served["x1"][::2] = np.nan
        answer(site, MIDNIGHT + number * DAY, served, truth=truth)
        assert tick(careful, now=MIDNIGHT + (number + 1) * DAY).release is None
    assert {found[1:] for found in diagnoses(site)} == {("broken_data", "quarantine")}
    (alert,) = alerts(site.database)
    assert (alert.name, alert.severity, alert.resolved_at) == ("broken_data", "critical", None)
    assert "x1 is missing in 50.0% of rows" in alert.title
    assert len(runs_of(site.database, "late")) == 1

    # a schedule that comes up meanwhile is held, and says why
    scheduled = settled(careful, pipeline={"schedule": "0 4 * * *"}, retrain={"on": ("schedule",)})
    assert tick(scheduled, now=MIDNIGHT + 2 * DAY + timedelta(hours=5)).release is None
    (held, *_) = decisions(site.database, "late", kind="retrain")
    assert held.verdict == "hold"
    assert "not retrained: broken data: x1 is missing in 50.0% of rows" in held.reason
    assert held.reason.endswith("nothing is learnt from broken data")

    answer(site, MIDNIGHT + 2 * DAY, quiet(MIDNIGHT + 2 * DAY))
    tick(settled(careful, retrain={"mode": "off"}), now=MIDNIGHT + 3 * DAY)
    (ended,) = (item for item in alerts(site.database) if item.name == "broken_data")
    assert ended.resolved_at == MIDNIGHT + 3 * DAY


def test_a_source_that_sends_text_for_a_number_is_broken_data(site: Site) -> None:
    """Every request of a day is refused for x1: there is no row left to judge, and that is no silence."""
    careful = watched(site)
    for number in range(30):
        at = stamp(MIDNIGHT + timedelta(hours=9, minutes=number))
        line = encode_error(
            id=f"e{number}",
            timestamp=at,
            model="late",
            version=1,
            status=422,
            reason="contract",
            columns=["x1"],
            caller="10.0.0.7",
            request_id=f"r{number}",
            route="/models/{model}/predict",
        )
        _append(site, "errors", line)
    assert tick(careful, now=MIDNIGHT + DAY).release is None
    assert diagnoses(site) == [("closed", "broken_data", "quarantine")]
    (alert,) = alerts(site.database)
    assert (alert.name, alert.severity, alert.resolved_at) == ("broken_data", "critical", None)
    assert "x1 had 30 of 30 requests refused (100.0%): it is absent, or no value of its kind" in alert.title
    answer(site, MIDNIGHT + DAY, quiet(MIDNIGHT + DAY))
    tick(settled(careful, retrain={"mode": "off"}), now=MIDNIGHT + 2 * DAY)
    assert [item.resolved_at for item in alerts(site.database)] == [MIDNIGHT + 2 * DAY]


def test_a_shift_of_the_inputs_is_covariate_drift_and_retrains(site: Site) -> None:
    """Both inputs two standard deviations up: x1 is what costs; the run is begun for it."""
    shifted = {name: values + np.float32(2) for name, values in quiet(MIDNIGHT).items()}
    answer(site, MIDNIGHT, shifted)
    tick(watched(site), now=MIDNIGHT + DAY)
    assert diagnoses(site) == [("closed", "covariate_drift", "retrain")]
    found = of_closed(site, "2013-04-08")
    assert found is not None
    assert found.features[0].feature == "x1"
    assert runs_of(site.database, "late")[0].reason == "drift"
    (alert,) = alerts(site.database)
    assert (alert.name, alert.severity) == ("drift", "warning")
    assert "covariate drift: x1 (" in alert.title


def test_a_shift_of_what_the_model_does_not_look_at_is_watched(site: Site) -> None:
    """x2 moves, and v1 never asks for it: drift all the same, and no retrain."""
    shifted = quiet(MIDNIGHT)
    shifted["x2"] += np.float32(2)
    answer(site, MIDNIGHT, shifted)
    assert tick(watched(site), now=MIDNIGHT + DAY).release is None
    assert diagnoses(site) == [("closed", "covariate_drift", "watch")]


def test_flipped_answers_are_concept_drift_and_retrain(site: Site) -> None:
    """The same inputs, the opposite comes true: nothing to see before labels, then concept drift."""
    answer(site, MIDNIGHT, quiet(MIDNIGHT), flipped=True)
    assert tick(watched(site), now=MIDNIGHT + DAY).release is None
    assert diagnoses(site) == [("closed", "nothing", "none")]
    tick(watched(site), now=MIDNIGHT + 2 * DAY)
    causes = {item.subject: item for item in reversed(decisions(site.database, "late", kind="diagnosis"))}
    found = causes["2013-04-08"]
    assert (found.verdict, found.evidence["action"]) == ("concept_drift", "retrain")
    assert found.reason.endswith("no input has moved; default: retrain")
    assert runs_of(site.database, "late")[0].reason == "performance"


@pytest.mark.parametrize(
    ("broken", "fault"), [(lambda x: x * np.float32(1_000), "unit"), (lambda x: np.full_like(x, 0.25), "frozen")]
)
def test_another_unit_and_a_frozen_column_are_broken_data(site: Site, broken: Any, fault: str) -> None:
    """Neither is the world's doing, and neither trains."""
    served = quiet(MIDNIGHT)
    answer(site, MIDNIGHT, {**served, "x1": broken(served["x1"])}, truth=served)
    assert tick(watched(site), now=MIDNIGHT + DAY).release is None
    assert diagnoses(site) == [("closed", "broken_data", "quarantine")]
    kept = decisions(site.database, "late", kind="diagnosis")[0].evidence["broken"]
    assert [(item["feature"], item["fault"]) for item in orjson.loads(orjson.dumps(kept))] == [("x1", fault)]


def test_a_flapping_promise_is_one_alert(site: Site) -> None:
    """Broken and kept day by day: one alert opens, and two kept days in a row end it."""
    still = settled(watched(site), retrain={"mode": "off"})
    flips = [True, False, True, False, True, False, False]
    for number, flipped in enumerate(flips):
        answer(site, MIDNIGHT + number * DAY, quiet(MIDNIGHT + number * DAY), flipped=flipped)
    for number in range(len(flips) + 1):
        tick(still, now=MIDNIGHT + (number + 2) * DAY)
    (alert,) = (item for item in alerts(site.database) if item.name == "performance")
    assert alert.since == MIDNIGHT + DAY
    assert alert.resolved_at == MIDNIGHT + 7 * DAY
