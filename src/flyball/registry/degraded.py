"""What is said of a version that is made of fallbacks: in the same words everywhere."""

from __future__ import annotations

from collections.abc import Sequence

from flyball.registry.records import Fallback


def told(fallbacks: Sequence[Fallback]) -> str | None:
    """`degraded: preprocess from run 0f3ac1d2e4b5 (2013-07-01)`; None of a version that is not."""
    return f"degraded: {listed(fallbacks)}" if fallbacks else None


def listed(fallbacks: Sequence[Fallback]) -> str:
    """`preprocess from run 0f3ac1d2e4b5 (2013-07-01), weather from run 0f39fe1129bc (2013-06-24)`"""
    return ", ".join(map(str, fallbacks))
