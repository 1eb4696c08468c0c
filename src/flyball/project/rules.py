"""The gate's rules as text and as records: `auc > champion.auc`, `auc >= champion.auc - 0.01`, `p99_ms <= 20`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Comparison = Literal[">", ">=", "<", "<="]

_RULE = re.compile(
    r"\s*(?P<metric>[a-z_][a-z0-9_]*)\s*(?P<comparison>>=|<=|>|<)\s*"
    r"(?:champion\.(?P<champion>[a-z_][a-z0-9_]*)\s*(?:(?P<sign>[+-])\s*(?P<margin>\d+(?:\.\d+)?))?|(?P<value>-?\d+(?:\.\d+)?))\s*"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """`metric comparison (champion.metric + value | value)`."""

    text: str
    metric: str
    comparison: Comparison
    #: whether the right side is the champion's own value of the same metric.
    against_champion: bool
    #: added to the champion's value, or the bound itself.
    value: float


def parse_rule(text: str) -> Rule:
    """The rule, or ValueError saying what is allowed. Metric names are not checked here: they depend on the task."""
    match = _RULE.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{text!r} is not a rule; write METRIC (> >= < <=) NUMBER, or METRIC > champion.METRIC, "
            "or METRIC >= champion.METRIC - NUMBER"
        )
    metric, champion = match["metric"], match["champion"]
    if champion is not None and champion != metric:
        raise ValueError(f"{text!r} compares {metric} with the champion's {champion}; compare the same metric")
    value = float(match["value"] or match["margin"] or 0)
    if match["sign"] == "-":
        value = -value
    comparison: Comparison = match["comparison"]  # type: ignore[assignment]  # the pattern allows these four only
    return Rule(
        text=" ".join(text.split()),
        metric=metric,
        comparison=comparison,
        against_champion=champion is not None,
        value=value,
    )


def metrics_named(text: str) -> tuple[str, ...]:
    """The metrics a rule's text names, whether or not it is a rule: for telling an unknown metric before anything else."""
    match = _RULE.fullmatch(text)
    if match is None:
        return ()
    return tuple(name for name in (match["metric"], match["champion"]) if name is not None)
