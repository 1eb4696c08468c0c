"""The gate's verdicts on worked cases."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from flyball.project.records import GateSettings
from flyball.project.rules import parse_rule
from flyball.registry.gate import HeldOut, Question, judge, rules_for, sentence

NOW = datetime(2013, 4, 2, tzinfo=UTC)


def settings(**rules: list[str]) -> GateSettings:
    parsed = {name: tuple(parse_rule(text) for text in rules.get(name, [])) for name in ("change", "refresh", "always")}
    return GateSettings(
        **parsed,
        confidence=0.95,
        cluster=None,
        slices=(),
        slice_floor=(),
        allow_leak=(),
        refit=False,
        refit_ahead=False,
        approval="auto",
        approval_timeout_s=1.0,
        moved_alias="restore",
    )


def question(occasion: str = "refresh", champion: int | None = 6) -> Question:
    return Question(model="m", run="r", occasion=occasion, champion=champion, at=NOW)  # type: ignore[arg-type]


def held_out(n: int = 4_000, gain: float = 0.0, champion: bool = True, seed: int = 1) -> HeldOut:
    """n rows; the candidate sees the truth `gain` more clearly than the champion."""
    random = np.random.default_rng(seed)
    y = (random.random(n) < 0.3).astype(float)
    noise = random.normal(size=n)
    theirs = y + noise
    ours = y * (1 + gain) + noise
    return HeldOut(
        task="binary",
        y=y,
        candidate=ours,
        champion=theirs if champion else None,
        clusters=None,
        days=7,
        start=None,
        end=None,
    )


def test_each_occasion_has_its_rules() -> None:
    """change, refresh and always are told apart; a first version faces `always` alone."""
    given = settings(change=["auc > champion.auc"], refresh=["auc >= champion.auc - 0.01"], always=["auc >= 0.6"])

    assert [rule.text for rule in rules_for(given, "change")] == ["auc > champion.auc", "auc >= 0.6"]
    assert [rule.text for rule in rules_for(given, "refresh")] == ["auc >= champion.auc - 0.01", "auc >= 0.6"]
    assert [rule.text for rule in rules_for(given, "first")] == ["auc >= 0.6"]


def test_an_equal_candidate_is_not_better_but_not_worse() -> None:
    """The same scores: refused by `>`, passed by non-inferiority."""
    same = held_out(gain=0.0)
    change, refresh = settings(change=["auc > champion.auc"]), settings(refresh=["auc >= champion.auc - 0.01"])

    assert not judge(question("change"), change, same, {}).passed
    assert judge(question("refresh"), refresh, same, {}).passed


def test_a_better_candidate_passes_and_says_by_how_much() -> None:
    """A clear gain passes `>`; the sentence names both values, the rows and the interval."""
    verdict = judge(question("change"), settings(change=["auc > champion.auc"]), held_out(gain=0.5), {})
    difference = verdict.results[0].difference

    assert verdict.passed
    assert difference is not None
    assert difference.low > 0
    assert sentence(verdict).startswith("passed: AUC 0.8")
    assert "on the same 4,000 rows" in sentence(verdict)


def test_too_few_rows_do_not_prove_non_inferiority() -> None:
    """It is the interval's lower end that must keep within the margin, not the point."""
    rules = settings(refresh=["auc >= champion.auc - 0.01"])
    random = np.random.default_rng(3)
    y = (random.random(60) < 0.4).astype(float)
    few = HeldOut(
        task="binary",
        y=y,
        candidate=y + random.normal(size=60),
        champion=y + random.normal(size=60),
        clusters=None,
        days=1,
        start=None,
        end=None,
    )

    assert not judge(question(), rules, few, {}).passed


@pytest.mark.parametrize(("value", "passed"), [(19.9, True), (20.0, True), (20.1, False)])
def test_an_absolute_rule_compares_the_value_itself(value: float, passed: bool) -> None:
    """`p99_ms <= 20` with its boundary."""
    assert judge(question(), settings(always=["p99_ms <= 20"]), held_out(), {"p99_ms": value}).passed is passed


def test_what_cannot_be_judged_does_not_pass() -> None:
    """No champion scores, one class only, an unmeasured latency: refused, with the reason."""
    compare, floor = settings(refresh=["auc >= champion.auc - 0.01"]), settings(always=["auc >= 0.5"])
    one_class = HeldOut(
        task="binary",
        y=np.zeros(50),
        candidate=np.arange(50.0),
        champion=None,
        clusters=None,
        days=1,
        start=None,
        end=None,
    )

    assert not judge(question(), compare, held_out(champion=False), {}).passed
    assert not judge(question(), floor, one_class, {}).passed
    assert not judge(question(), settings(always=["p99_ms <= 20"]), held_out(), {}).passed
