"""The gate's third look: at what it judges on. Were the rows answered as they will be served, does a feature give the
target away, has training seen the held-out rows? Pure: what was found in, lines of a verdict out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flyball.registry.records import RuleResult

#: a feature that foretells the target as well as this all alone is taken for the target itself; see `stats.sanity.alone`.
LEAK = 0.99
#: share of held-out rows that training may have seen, whatever the rows are.
MOST_SEEN = 0.01
#: and times the share of trained rows that have a twin among themselves: rows of few distinct values repeat anyway.
TIMES_NATURAL = 2.0
#: shares of the replayed rows that may be answered otherwise, and be refused.
MOST_OTHERWISE = 0.001
MOST_REFUSED = 0.01


def served_as_scored(found: Mapping[str, Any]) -> RuleResult:
    """Of `loop.replay.replay`'s findings: whether a client is answered what the gate has judged."""
    rows, same = found["rows"], found["same"]
    good = found["otherwise"] <= MOST_OTHERWISE * rows and found["refused"] <= MOST_REFUSED * rows
    said = [f"served as scored: {same:,} of {rows:,} rows"]
    if found["otherwise"]:
        said.append(f"{found['otherwise']:,} are answered otherwise")
    said += [f"{name} is another value after JSON {_where(at)}" for name, at in found["differing"].items()]
    said += [f"refused for {name} {_where(at)}" for name, at in found["refusing"].items()]
    said += [
        f"{name} holds integers beyond 2^24, which requests round {_where(at)}" for name, at in found["coarse"].items()
    ]
    return _line("served as scored", good, "; ".join(said), value=same / rows if rows else None)


def no_leak(features: Mapping[str, float], allowed: Sequence[str]) -> RuleResult:
    """`features`: how well each that could be judged foretells the target alone, in [0, 1]."""
    suspects = {name: value for name, value in features.items() if value >= LEAK}
    caught = [name for name in suspects if name not in allowed]
    best = max(features, key=lambda name: features[name], default=None)
    if caught:
        listed = ", ".join(f"{name} ({suspects[name]:.3f})" for name in caught)
        why = (
            f"leaks the target? alone, on the held-out rows, at least {LEAK} of 1 is foretold by {listed}; leave it out of "
            f'the features, or, if it is known before the outcome, write [gate] allow_leak = ["{caught[0]}"]'
        )
        return _line("no feature is the target", False, why, value=suspects[caught[0]])
    strongest = f"the strongest alone is {best}, {features[best]:.3f} of 1" if best else "none could be judged"
    permitted = f"; allowed by allow_leak: {', '.join(suspects)}" if suspects else ""
    return _line(
        "no feature is the target", True, strongest + permitted, value=features[best] if best is not None else None
    )


def unseen(seen: int, rows: int, repeated: float) -> RuleResult:
    """`seen` of the held-out `rows` occur among the trained ones; of those the share `repeated` has a twin among them."""
    share = seen / rows if rows else 0.0
    good = may_be_known(seen, rows, repeated)
    why = f"{seen:,} of {rows:,} held-out rows ({share:.1%}) stand in the training rows, of which {repeated:.1%} have a twin"
    if not good:
        why += (
            f"; at most {MOST_SEEN:.0%}, or twice as many as have a twin, are allowed: call split() in the model step, or "
            "give it a table without them"
        )
    return _line("held-out rows are unseen", good, why, value=share)


def untold(why: str) -> RuleResult:
    """Nobody knows whether training has seen the held-out rows, and what cannot be judged does not pass."""
    mend = "call split() in the model step, on the table with the features and the target"
    return _line("held-out rows are unseen", False, f"whether training has seen them cannot be told: {why}; {mend}")


def may_be_known(seen: int, rows: int, repeated: float) -> bool:
    """Whether so few of the rows are among the trained ones that it may be."""
    return seen <= MOST_SEEN * rows or repeats(seen, rows, repeated)


def repeats(seen: int, rows: int, repeated: float) -> bool:
    """Whether rows as these are found among the trained ones anyhow, of which the share `repeated` has a twin."""
    return seen <= TIMES_NATURAL * repeated * rows


def _where(at: Sequence[int]) -> str:
    count, first = at
    return f"in {count:,} {'row' if count == 1 else 'rows'}, first in row {first}"


def _line(rule: str, passed: bool, why: str, *, value: float | None = None) -> RuleResult:
    return RuleResult(rule=rule, candidate=value, champion=None, difference=None, passed=passed, why=why)
