"""In what order a run's steps may go, and which of those that may go should."""

from __future__ import annotations

import pytest

from flyball.errors import Mistake
from flyball.pipeline.graph import StepCall, longest_ways, ordered


def call(name: str, *needs: str, after: tuple[str, ...] = ()) -> StepCall:
    return StepCall(name=name, target=name, inputs={need: need for need in needs}, after=after)


def ways(calls: list[StepCall], **seconds: float) -> dict[str, float]:
    return longest_ways({one.name: one for one in calls}, seconds)


def test_a_step_is_as_far_from_the_end_as_its_longest_chain() -> None:
    """Its own seconds, and those of whatever waits for it, by the longest way."""
    calls = [call("rows"), call("fit", "rows"), call("held_out", "rows"), call("score", "fit", "held_out")]
    found = ways(calls, rows=1, fit=5, held_out=2, score=3)
    assert found == {"rows": 9, "fit": 8, "held_out": 5, "score": 3}


def test_order_alone_counts_as_a_chain_too() -> None:
    """`after` hands no result on, and is waited for all the same."""
    assert ways([call("first"), call("then", after=("first",))], first=2, then=7) == {"first": 9, "then": 7}


def test_what_never_ran_is_taken_for_a_second() -> None:
    """So that the chain of more steps goes first, until their times are known."""
    assert ways([call("a"), call("b", "a"), call("c")]) == {"a": 2, "b": 1, "c": 1}


@pytest.mark.parametrize(
    ("calls", "word"),
    [
        ([call("a", "nothing")], "step 'a' needs nothing; the run's steps are a"),
        ([call("a", "b"), call("b", "a")], "steps wait for each other: "),
    ],
)
def test_steps_that_are_no_graph_are_refused(calls: list[StepCall], word: str) -> None:
    """By name."""
    with pytest.raises(Mistake, match=word):
        ordered(calls)
