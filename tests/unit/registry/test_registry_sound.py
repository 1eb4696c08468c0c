"""What the gate says of the rows it judges on."""

from __future__ import annotations

from typing import Any

import pytest

from flyball.registry.sound import no_leak, served_as_scored, unseen, untold


def replayed(**found: Any) -> dict[str, Any]:
    nothing = {"otherwise": 0, "refused": 0, "differing": {}, "refusing": {}, "coarse": {}}
    return {"rows": 2_000, "same": 2_000, **nothing, **found}


def test_rows_that_are_served_as_scored_say_how_many() -> None:
    """The line that a good candidate has; what is coarse is told, and fails nothing."""
    assert served_as_scored(replayed()).why == "served as scored: 2,000 of 2,000 rows"
    line = served_as_scored(replayed(coarse={"account": [120, 17]}))
    assert line.passed
    assert line.why.endswith("account holds integers beyond 2^24, which requests round in 120 rows, first in row 17")


@pytest.mark.parametrize(
    ("otherwise", "refused", "passed"), [(2, 0, True), (3, 0, False), (0, 20, True), (0, 21, False)]
)
def test_one_row_in_a_thousand_may_be_answered_otherwise_and_one_in_a_hundred_refused(
    otherwise: int, refused: int, passed: bool
) -> None:
    """Of 2,000, each with its boundary."""
    line = served_as_scored(replayed(same=2_000 - otherwise - refused, otherwise=otherwise, refused=refused))
    assert line.passed is passed


def test_what_differs_is_named_by_column() -> None:
    """Count and first row, no value."""
    line = served_as_scored(replayed(same=1_900, otherwise=100, differing={"age": [100, 3]}, refusing={"sex": [1, 9]}))
    assert line.why == (
        "served as scored: 1,900 of 2,000 rows; 100 are answered otherwise; age is another value after JSON in 100 rows, "
        "first in row 3; refused for sex in 1 row, first in row 9"
    )


def test_a_feature_that_is_the_target_fails_unless_it_is_allowed() -> None:
    """0.99 of 1 and more is suspicious; the line names feature and mend."""
    line = no_leak({"age": 0.7, "paid_back": 0.99}, ())
    assert not line.passed
    assert "paid_back (0.990)" in line.why
    assert '[gate] allow_leak = ["paid_back"]' in line.why
    assert no_leak({"age": 0.7, "paid_back": 0.99}, ("paid_back",)).why == (
        "the strongest alone is paid_back, 0.990 of 1; allowed by allow_leak: paid_back"
    )
    assert no_leak({"age": 0.9899}, ()).passed
    assert no_leak({}, ()).passed


@pytest.mark.parametrize(
    ("seen", "repeated", "passed"), [(10, 0.0, True), (11, 0.0, False), (400, 0.2, True), (401, 0.2, False)]
)
def test_one_held_out_row_in_a_hundred_may_be_known_or_twice_what_is_natural(
    seen: int, repeated: float, passed: bool
) -> None:
    """Of 1,000 rows; a table of few distinct values repeats itself without any mistake."""
    assert unseen(seen, 1_000, repeated).passed is passed


def test_rows_that_training_saw_are_told_with_the_mend() -> None:
    """What to do stands in the refusal; where it cannot be told, the verdict does not pass either."""
    line = unseen(300, 1_000, 0.0)
    assert not line.passed
    assert line.why.startswith("300 of 1,000 held-out rows (30.0%) stand in the training rows")
    assert line.why.endswith("are allowed: call split() in the model step, or give it a table without them")
    line = untold("the table that split() was given lacks a feature")
    assert (line.rule, line.passed, line.candidate) == ("held-out rows are unseen", False, None)
    assert line.why == (
        "whether training has seen them cannot be told: the table that split() was given lacks a feature; call split() in "
        "the model step, on the table with the features and the target"
    )
