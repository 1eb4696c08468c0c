"""Rules as they are typed: key, value and section, or one message that says what is allowed."""

from __future__ import annotations

import pytest

from flyball.cli.backtest import parse_rules
from flyball.errors import Mistake


def test_rules_find_their_section_and_are_read_as_toml_where_they_are_some() -> None:
    """Text needs no quotes of its own; lists and numbers are TOML's."""
    told = ["false_alarms = 1/30d", "retrain.on=['drift']", "new_rows=5000", "performance=auc < 0.65", 'cooldown="3d"']
    assert parse_rules(told) == {
        "monitor": {"false_alarms": "1/30d"},
        "retrain": {"on": ["drift"], "new_rows": 5000, "performance": "auc < 0.65", "cooldown": "3d"},
    }


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (["cooldwn=3d"], "did you mean cooldown?"),
        (["cooldown"], "needs KEY=VALUE"),
        (["cooldown="], "needs KEY=VALUE"),
        (["gate.cooldown=3d"], "needs KEY=VALUE with a key that a replay can change"),
        (["refit=true"], "allowed: false_alarms, features"),
        (["cooldown=3d", "retrain.cooldown=4d"], "cooldown is told twice"),
    ],
)
def test_what_a_replay_cannot_change_is_refused(told: list[str], message: str) -> None:
    """Never ignored."""
    with pytest.raises(Mistake, match="--rule") as caught:
        parse_rules(told)
    assert message in str(caught.value)
