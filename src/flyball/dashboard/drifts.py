"""What a drift verdict's kept evidence says of each feature, of the whole and of slices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flyball.dashboard.records import FeatureDrift, Statistic


def feature_drifts(evidence: Any) -> tuple[FeatureDrift, ...]:
    """The features of a drift verdict's JSON; () when it holds none. Alarming ones first, of the whole and then of slices,
    otherwise in the order kept; last what is only reported, and slices that cannot be judged.
    """
    features = evidence.get("features") if isinstance(evidence, Mapping) else None
    items = list(features.values()) if isinstance(features, Mapping) else features
    if not isinstance(items, list):
        return ()
    slices = [part for part in _listed(evidence, "slices") if "slice" in part]
    found = [_feature(item) for item in (*_listed({"features": items}, "features"), *_listed(evidence, "reported"))]
    found += [_feature(item, f"{part['slice']}: ") for part in slices for item in _listed(part, "features")]
    found += [
        FeatureDrift(
            feature=_unjudged(part["slice"]), verdict="cannot_judge", why=str(part.get("why", "")), statistics=()
        )
        for part in slices
        if part.get("verdict") == "cannot_judge"
    ]
    return tuple(sorted(found, key=lambda item: item.verdict != "drift"))


def _unjudged(name: object) -> str:
    """A slice has its own name; a column without slices gets one that is not a feature's."""
    return str(name) if "=" in str(name) else f"slices by {name}"


def _listed(value: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The mappings in a list of evidence, and of features those that have a name."""
    items = value.get(key)
    known = [item for item in items if isinstance(item, Mapping)] if isinstance(items, list | tuple) else []
    return known if key == "slices" else [item for item in known if "feature" in item]


def _feature(item: Mapping[str, Any], inside: str = "") -> FeatureDrift:
    statistics = item.get("statistics") or {}
    return FeatureDrift(
        feature=f"{inside}{item['feature']}",
        verdict=str(item.get("verdict", "")),
        why=str(item.get("why", "")),
        statistics=tuple(
            Statistic(
                method=method,
                value=value.get("value"),
                threshold=value.get("threshold"),
                alarm=value.get("alarm") is True,
            )
            for method, value in statistics.items()
        ),
        missing=_count(item, "missing"),
        invalid=_count(item, "invalid"),
        below=_count(item, "below"),
        above=_count(item, "above"),
        unseen=_count(item, "unseen"),
    )


def _count(item: Mapping[str, Any], key: str) -> int | None:
    value = item.get(key)
    return value if isinstance(value, int) else None
