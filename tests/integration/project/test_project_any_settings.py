"""Whatever stands in flyball.toml, the answer is a project or findings."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flyball.errors import ProjectError
from flyball.project.load import load_project
from flyball.project.schema import SCHEMA, Each, Shape

STEPS = "@step\ndef collect(window): ...\n@step\ndef train(collect, run): ...\n@step\ndef validate(train): ...\n"

#: what a key may hold, and near misses.
PIECES = [
    "1d",
    "1/10d",
    "auc > champion.auc",
    "auc < 0.7",
    "p99_ms < 3",
    "train",
    "a",
    "label",
    "day",
    "binary",
    "keep",
]

_text = st.one_of(
    st.sampled_from(PIECES),
    st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\x7f"), max_size=8),
)
_scalar = st.one_of(
    _text, st.booleans(), st.integers(), st.floats(), st.dates(), st.times(), st.datetimes(), st.just(10**400)
)
_value = st.recursive(
    _scalar,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_text, inner, max_size=3)),
    max_leaves=6,
)


def keys(shape: Shape, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every place of the schema, sections too; a name the user chooses is `own`."""
    if path:
        yield path
    inner = {"own": shape.of} if isinstance(shape, Each) else shape if isinstance(shape, dict) else {}
    for name, below in inner.items():
        yield from keys(below, (*path, name))


PLACES = list(keys(SCHEMA))


def toml(value: Any) -> str:
    """A value as TOML on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{toml(key)} = {toml(item)}' for key, item in value.items())}}}"
    return repr(value)


def judged(text: str) -> int:
    """How many findings a folder with these settings has; any error but ProjectError fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "pipeline.py").write_text(STEPS)
        (Path(folder) / "flyball.toml").write_text(text, encoding="utf-8", newline="")
        try:
            load_project(folder)
        except ProjectError as error:
            return len(error.findings)
    return 0


@given(st.dictionaries(st.sampled_from(PLACES), _value, max_size=12))
def test_random_values_end_in_findings_or_a_project(values: dict[tuple[str, ...], Any]) -> None:
    """Every key, with any value TOML can hold, alone and with others."""
    needed = {("model", "name"): "a", ("model", "task"): "binary", ("model", "target"): "y"}
    lines = [f"{'.'.join(path)} = {toml(value)}" for path, value in {**needed, **values}.items()]
    assert judged("\n".join(lines)) >= 0


@given(st.lists(st.text(alphabet='[]model.name="#\n1 ', max_size=12), max_size=8).map("".join))
def test_random_text_ends_in_findings(text: str) -> None:
    """No text is without findings, since a model needs a name, a task and a target."""
    assert judged(text) >= 1
