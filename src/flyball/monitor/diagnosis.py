"""What is wrong with a window, and what should be done about it by default? Pure: verdicts in, one diagnosis out.

    broken data      a feature is filled in wrongly (`faults`)                        quarantine
    covariate drift  inputs moved; what came true, if known, is as foretold           retrain where it costs, else watch
    prior drift      the share that came true is not the share foretold, ranking kept retrain
    concept drift    the same inputs came true otherwise: worse than promised         retrain
    nothing          all that could be judged is as it was                            none
    cannot judge     nothing could be judged                                          none

A window is diagnosed twice: when it closes, by its inputs, and once its labels are mature, by all of it. Broken data win
over all else, as nothing that follows from wrong values means anything.

What a feature's change costs is estimated by its importance times the part of its distribution that moved (`moved`).
Importance is the loss of the metric when the feature is permuted (Breiman 2001, doi:10.1023/A:1010933404324), on held-out
rows, or for a refit on training rows, where it is too high. Permuting moves every row, so the product is the part of that
loss if the metric falls in proportion. It ranks features and tells a costly change from a cheap one; it foretells no
metric, and knows nothing of features that move together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean, stdev
from typing import Any, Literal

from scipy.special import stdtrit

from flyball.monitor.faults import Broken
from flyball.stats.drift import DriftVerdict, FeatureVerdict
from flyball.stats.estimate import Estimate

Cause = Literal["broken_data", "covariate_drift", "prior_drift", "concept_drift", "nothing", "cannot_judge"]
Action = Literal["quarantine", "retrain", "watch", "none"]

#: An estimated cost that is worth a retrain, in units of the metric: a refresh may be as much worse by default.
COSTLY = 0.01
#: The smallest gap between the share foretold and the share that came true that matters.
MIN_GAP = 0.05
#: Fewer earlier windows than this, and nobody knows how far the gap goes by itself.
MIN_EARLIER = 10
#: Features named in a sentence.
NAMED = 3

#: How each cause is said.
WORDS: Mapping[Cause, str] = {
    "broken_data": "broken data",
    "covariate_drift": "covariate drift",
    "prior_drift": "prior drift",
    "concept_drift": "concept drift",
    "nothing": "nothing wrong",
    "cannot_judge": "cannot judge",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Labels:
    """What came true in a window, once its labels are mature."""

    #: whether the performance verdict said that the promise is broken; None: it could not be judged.
    below: bool | None
    #: that verdict's own sentence.
    reason: str
    #: how much worse than at the gate, in units of the metric, positive is worse; None: unknown.
    loss: float | None = None
    #: share that came true less share foretold, with its interval if rows were independent; None but for a binary task.
    gap: Estimate | None = None
    #: the same of earlier windows, any order: how far it goes by itself.
    earlier_gaps: Sequence[float] = ()
    #: whether performance estimated without labels is below the promise too: then the inputs explain it. None: unknown.
    estimated_below: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureCost:
    """What a feature's change is estimated to cost."""

    feature: str
    #: share of its distribution that moved, in [0, 1].
    moved: float
    #: in units of the metric; None: the version keeps no importance.
    cost: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What is wrong, and the default action."""

    cause: Cause
    action: Action
    #: one sentence.
    reason: str
    #: the features that alarm, dearest first.
    features: tuple[FeatureCost, ...]
    broken: tuple[Broken, ...]
    #: share that came true less share foretold, which later windows are held against; None: unknown.
    gap: float | None = None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def diagnosis_from_json(value: Mapping[str, Any]) -> Diagnosis:
    """What `Diagnosis.to_json` gave."""
    return Diagnosis(
        cause=value["cause"],
        action=value["action"],
        reason=value["reason"],
        features=tuple(FeatureCost(**item) for item in value["features"]),
        broken=tuple(Broken(**item) for item in value["broken"]),
        gap=value["gap"],
    )


def by_inputs(drift: DriftVerdict, faults: Sequence[Broken], *, importance: Mapping[str, float]) -> Diagnosis:
    """The diagnosis of a window that has just closed. `importance`: feature -> loss of the metric; empty where unknown."""
    features = costs(drift, importance)
    if faults:
        return _diagnosis("broken_data", "quarantine", _told_broken(faults), features, faults)
    if drift.verdict == "drift":
        return _diagnosis("covariate_drift", _worth(features), _moved(features), features)
    if drift.verdict == "steady":
        return _diagnosis("nothing", "none", f"inputs as in training on {drift.rows} rows", features)
    return _diagnosis("cannot_judge", "none", f"{drift.rows} rows are too few", features)


def with_labels(before: Diagnosis, labels: Labels, *, level: float) -> Diagnosis:
    """The same window's diagnosis once its labels are mature. `level`: share of quiet windows told of a prior drift."""
    gap = None if labels.gap is None else labels.gap.value
    features = before.features
    if before.cause == "broken_data":
        return replace(before, gap=gap)
    if labels.below and not _inputs_explain(labels, features):
        inputs = f"{_moved(features)}, which does not explain it" if features else "no input has moved"
        return _diagnosis("concept_drift", "retrain", f"{labels.reason}; {inputs}", features, gap=gap)
    if labels.below:
        return _diagnosis("covariate_drift", "retrain", f"{labels.reason}; {_moved(features)}", features, gap=gap)
    if labels.gap is not None and _prior_moved(labels.gap, labels.earlier_gaps, level):
        told = f"{labels.gap.value:+.1%} of rows came true beyond what was foretold; {labels.reason}"
        return _diagnosis("prior_drift", "retrain", told, features, gap=gap)
    if before.cause == "covariate_drift" or labels.below is None:
        return replace(before, reason=f"{before.reason}; {labels.reason}", gap=gap)
    return _diagnosis("nothing", "none", labels.reason, features, gap=gap)


def _diagnosis(
    cause: Cause,
    action: Action,
    reason: str,
    features: tuple[FeatureCost, ...],
    faults: Sequence[Broken] = (),
    *,
    gap: float | None = None,
) -> Diagnosis:
    told = f"{WORDS[cause]}: {reason}"
    return Diagnosis(cause=cause, action=action, reason=told, features=features, broken=tuple(faults), gap=gap)


def costs(drift: DriftVerdict, importance: Mapping[str, float]) -> tuple[FeatureCost, ...]:
    """The features that alarm with what each is estimated to cost, dearest first; of equal cost, the strongest alarm.

    What alarms in a slice alone ("origin=JFK: temp") has moved, and costs, by that slice's share of the rows.
    """
    judged = {item.feature: item for item in drift.features}
    found = [_cost(name, name, moved(judged[name]), importance) for name in drift.alarming]
    for part in drift.slices:
        share = part.rows / max(drift.rows, 1)
        found += [
            _cost(f"{part.slice}: {one.feature}", one.feature, moved(one) * share, importance)
            for one in part.features
            if one.feature not in drift.alarming
        ]
    return tuple(sorted(found, key=lambda item: -(item.cost or 0.0)))


def _cost(named: str, feature: str, share: float, importance: Mapping[str, float]) -> FeatureCost:
    cost = max(importance[feature], 0.0) * share if feature in importance else None
    return FeatureCost(feature=named, moved=share, cost=cost)


def moved(feature: FeatureVerdict) -> float:
    """About the share of rows whose value would have to change for the window to look as training did, in [0, 1].

    The Jensen-Shannon distance above its mean on quiet days (by Lin 1991, doi:10.1109/18.61115, its square is at most the
    total variation distance, which is that share), or the share of values that went missing, whichever is more.
    """
    distance, missing = feature.statistics.get("js_distance"), feature.statistics.get("missing")
    by_distance = 0.0 if distance is None else distance.value - distance.null_mean
    by_missing = 0.0 if missing is None else missing.effect
    return min(max(by_distance, by_missing, 0.0), 1.0)


def _inputs_explain(labels: Labels, features: Sequence[FeatureCost]) -> bool:
    """By the estimate without labels where there is one, else if the changes' costs make up half of the loss."""
    if labels.estimated_below is not None:
        return labels.estimated_below
    known = [item.cost for item in features if item.cost is not None]
    return labels.loss is not None and bool(known) and sum(known) >= labels.loss / 2


def _prior_moved(gap: Estimate, earlier: Sequence[float], level: float) -> bool:
    """Whether the gap is beyond what earlier windows' own gaps do at this level, and matters; not before there are enough.

    By the prediction interval for one more value of a normal sample (Student's t). Rows of one day move together (a snow
    storm makes every flight late), so theory for independent rows would cry on most days.
    """
    if len(earlier) < MIN_EARLIER:
        return False
    n = len(earlier)
    limit = float(stdtrit(n - 1, 1 - level / 2)) * stdev(earlier) * math.sqrt(1 + 1 / n)
    return abs(gap.value - fmean(earlier)) > limit and abs(gap.value) >= MIN_GAP


def _worth(features: Sequence[FeatureCost]) -> Action:
    """A feature of unknown importance may be the dearest of all."""
    unknown = any(item.cost is None for item in features)
    return "retrain" if unknown or sum(item.cost or 0.0 for item in features) >= COSTLY else "watch"


def _told_broken(faults: Sequence[Broken]) -> str:
    more = len(faults) - NAMED
    return "; ".join(item.why for item in faults[:NAMED]) + (f"; and {more} more" if more > 0 else "")


def _moved(features: Sequence[FeatureCost]) -> str:
    named = ", ".join(
        f"{item.feature} ({item.moved:.0%} moved{'' if item.cost is None else f', costs about {item.cost:.3f}'})"
        for item in features[:NAMED]
    )
    more = len(features) - NAMED
    return f"{named}{f' and {more} more' if more > 0 else ''}"
