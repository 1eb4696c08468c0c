"""Rows that never became predictions: were more requests than usual refused for what a column held? Pure.

A source that begins to send text for a number, or leaves a column out, does not move a distribution: its requests are
refused, and what is left looks well.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from typing import Any

from scipy.special import stdtrit

from flyball.monitor.faults import Broken

#: Fewer refused requests than these, or a smaller share of all, and it is somebody trying things out.
MIN_REFUSED = 20
MIN_SHARE = 0.05
#: Fewer earlier windows than this, and nobody knows how many are refused on a quiet day.
MIN_EARLIER = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A window's requests that broke the model's contract."""

    #: requests in all: those answered, and those refused for it.
    requests: int = 0
    #: column -> requests refused for what it held, or for the want of it.
    columns: Mapping[str, int] = field(default_factory=dict)

    def share(self, column: str) -> float:
        """Of all requests, in [0, 1]."""
        return self.columns.get(column, 0) / max(self.requests, 1)

    def to_json(self) -> dict[str, Any]:
        return {"requests": self.requests, "columns": dict(self.columns)}


def refused_from_json(value: Mapping[str, Any]) -> Refused:
    """What `Refused.to_json` gave."""
    return Refused(requests=value["requests"], columns=value["columns"])


def too_many(seen: Refused, earlier: Sequence[Refused], level: float) -> tuple[Broken, ...]:
    """The columns for which more was refused than by itself, worst first.

    `earlier`: windows that were whole, any order. `level`: share of quiet windows in which a column is named, by the
    prediction interval for one more value of a normal sample (Student's t) on the arcsine scale of shares; before there are
    MIN_EARLIER windows, every share from MIN_SHARE on is named.
    """
    names = sorted(seen.columns, key=lambda name: (-seen.columns[name], name))
    return tuple(found for name in names for found in _named(name, seen, earlier, level))


def _named(name: str, seen: Refused, earlier: Sequence[Refused], level: float) -> Iterator[Broken]:
    count, share, usual = seen.columns[name], seen.share(name), ""
    if count < MIN_REFUSED or share < MIN_SHARE:
        return
    if len(earlier) >= MIN_EARLIER:
        shares = [one.share(name) for one in earlier]
        if _root(share) <= _limit([_root(one) for one in shares], level):
            return
        usual = f", usually {fmean(shares):.1%}"
    told = f"{name} had {count:,} of {seen.requests:,} requests refused ({share:.1%}{usual})"
    yield Broken(feature=name, fault="schema", why=f"{told}: it is absent, or no value of its kind")


def _root(share: float) -> float:
    return math.asin(math.sqrt(share))


def _limit(roots: Sequence[float], level: float) -> float:
    n = len(roots)
    return fmean(roots) + float(stdtrit(n - 1, 1 - level)) * stdev(roots) * math.sqrt(1 + 1 / n)
