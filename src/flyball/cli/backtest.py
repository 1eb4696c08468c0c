"""`flyball backtest`: a changed rule over the recorded history, beside what was."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from flyball.cli.options import at_place, json_option
from flyball.cli.place import Place, open_home
from flyball.cli.show import put, table
from flyball.errors import Mistake, NotFound
from flyball.store import utcnow

if TYPE_CHECKING:
    from flyball.loop.backtest import Backtest, Outcome

#: what a replay can honour: section -> keys.
CHANGEABLE = {
    "monitor": ("false_alarms", "features", "window", "label_delay"),
    "retrain": ("on", "new_rows", "performance", "mode", "cooldown", "budget", "min_new_labels"),
    "pipeline": ("schedule",),
}


@click.command()
@click.argument("model")
@click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="KEY=VALUE",
    help="As flyball.toml would say it: 'false_alarms=1/30d', 'performance=auc < 0.65', 'cooldown=3d'. Again for more.",
)
@at_place
@json_option
def backtest(place: Place, model: str, rules: tuple[str, ...], as_json: bool) -> None:
    """Replay MODEL's recorded history under other rules: how often it would have alarmed and retrained. Writes nothing."""
    from flyball.loop.backtest import backtest as replay
    from flyball.project.load import load_project
    from flyball.registry.projects import projects, require_model

    database, changed = open_home(place), parse_rules(rules)
    require_model(database, model)
    folder = projects(database).get(model)
    if folder is None:
        raise Mistake(f"no project in this home makes {model}; `flyball run` in its folder adds it")
    found = replay(place.home, database, load_project(folder, changed=changed), now=utcnow())
    if found is None:
        raise NotFound(f"no window of {model} was judged yet; `flyball up` judges each when it has closed")
    put({**found.to_json(), "rules": list(rules)}, render(found, rules), as_json=as_json)


def parse_rules(rules: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Section -> key -> value of `KEY=VALUE` texts, the value as TOML where it is some, else as text.

    Raises Mistake for a key that a replay cannot honour, and for one that is told twice.
    """
    known = {key: section for section, keys in CHANGEABLE.items() for key in keys}
    found: dict[str, dict[str, Any]] = {}
    for text in rules:
        name, equals, value = (part.strip() for part in text.partition("="))
        key = name.rsplit(".", 1)[-1]
        section = known.get(key)
        if not equals or not value or section is None or name not in (key, f"{section}.{key}"):
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"allowed: {', '.join(known)}"
            raise Mistake(f"--rule {text!r}: needs KEY=VALUE with a key that a replay can change; {hint}")
        if key in found.setdefault(section, {}):
            raise Mistake(f"--rule {text!r}: {key} is told twice; leave one out")
        found[section][key] = _value(value)
    return found


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def render(found: Backtest, rules: Sequence[str]) -> str:
    """Both sides, a line a count, and the retrains by date."""
    was, would = found.was, found.would
    rows = [
        ("drifted windows", len(was.drift), len(would.drift)),
        ("windows of broken data", len(was.broken), len(would.broken)),
        ("windows below the promise", len(was.below), len(would.below)),
        ("retrains", len(was.retrains), len(would.retrains)),
        ("signals held back", was.held, would.held),
    ]
    head = f"{found.model}, {found.start:%Y-%m-%d} to {found.end:%Y-%m-%d}, {found.windows} windows; "
    head += f"rules: {', '.join(rules)}" if rules else "the rules as they are"
    return "\n".join(
        [
            head,
            table(("", "WAS", "WOULD BE"), rows, empty=""),
            f"retrained: {_dates(was)}",
            f"would have: {_dates(would)}",
            "judged against the versions that really answered; no replayed candidate is refused",
        ]
    )


def _dates(side: Outcome) -> str:
    return ", ".join(f"{at:%Y-%m-%d}" for at in side.retrains) or "never"
