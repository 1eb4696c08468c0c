"""What an export is made of: what is watched of each model, and where things can be asked."""

from __future__ import annotations

from dataclasses import dataclass

from flyball.project.records import Project
from flyball.serving.metrics import SECONDS

#: a file's path below the folder of the export -> its text.
Files = dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """What another monitor must know of a model."""

    model: str
    #: slowest p99 of an answer that is still right, seconds; at most the highest bound of the latency's buckets.
    p99_s: float
    #: where that comes from, as it is written in flyball.toml.
    p99_from: str
    #: the promise, `[retrain] performance`, as written; None = none was made.
    promise: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrape:
    """Who is scraped, by whom, how often."""

    #: addresses of data planes, http(s)://host:port; at least one.
    serving: tuple[str, ...]
    #: address of the control plane.
    control: str
    #: host:port of Alertmanagers.
    alertmanagers: tuple[str, ...]
    #: of scraping and of looking at the rules, seconds; every span in the rules is a multiple of it.
    interval_s: int


def watched(project: Project) -> Watched:
    """The project's limits. p99: the strictest `p99_ms` of `[gate] always`, else the time after which a server gives up."""
    limits = [rule for rule in project.gate.always if rule.metric == "p99_ms" and rule.comparison in ("<", "<=")]
    strictest = min(limits, key=lambda rule: rule.value, default=None)
    p99_s = project.serving.timeout_s if strictest is None else strictest.value / 1000
    promise = project.retrain.performance
    return Watched(
        model=project.model.name,
        p99_s=min(p99_s, SECONDS[-1]),
        p99_from=f"[serving] timeout_s = {project.serving.timeout_s:g}" if strictest is None else strictest.text,
        promise=None if promise is None else promise.text,
    )
