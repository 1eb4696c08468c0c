"""What the papers tell to type can be typed: verbs, options, targets, settings, requests."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path

import click

from flyball.cli.main import LATER, VERBS, main
from flyball.demo import data
from flyball.project.load import load_project

Papers = dict[str, str]
Blocks = list[tuple[str, str, str]]
Shell = list[tuple[str, str]]

_FLYBALL = re.compile(r"^(?:\S*/)?flyball ([a-z]+)\b(.*)$")


def test_every_verb_that_is_named_exists(shell: Shell) -> None:
    """A verb of the table; one that is not in this release is nowhere shown as if it were."""
    unknown = [f"{name}: {line}" for name, line in shell if (found := _FLYBALL.match(line)) and found[1] not in VERBS]
    assert unknown == []


def test_every_option_that_is_shown_is_taken(shell: Shell) -> None:
    """`flyball VERB --option` has such an option."""
    context = click.Context(main)
    refused = []
    for name, line in shell:
        found = _FLYBALL.match(line)
        if found is None:
            continue
        command = main.get_command(context, found[1])
        if command is None:  # the test above tells
            continue
        words = found[2].split()
        if isinstance(command, click.Group) and words and words[0] in command.commands:
            command = command.commands[words[0]]
        taken = {option for item in command.params for option in item.opts} | {"--help"}
        refused += [f"{name}: {line}" for word in words if word.startswith("--") and word.split("=")[0] not in taken]
    assert refused == []


def test_the_verbs_to_come_are_told_as_limits(papers: Papers) -> None:
    """The README names each verb that says 'not in this release', and none that works."""
    told = re.search(r"Verbs that say so when called:\*\*(.*?)\.\n", papers["README.md"], re.DOTALL)
    assert told is not None
    assert set(re.findall(r"`(\w+)`", told[1])) == set(LATER)


def test_every_make_target_that_is_named_exists(shell: Shell, root: Path) -> None:
    """`make X` is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.MULTILINE))
    named = {found[1] for _, line in shell if (found := re.match(r"^make ([a-z]+)\b", line))}
    assert named - targets == set()


def test_settings_in_the_readme_are_a_project(blocks: Blocks, tmp_path: Path) -> None:
    """Each TOML block, with the README's own pipeline, is accepted as it stands."""
    readme = [(language, text) for name, language, text in blocks if name == "README.md"]
    pipeline = next(text for language, text in readme if language == "python" and "@step" in text)
    settings = [text for language, text in readme if language == "toml"]
    assert len(settings) == 2
    for number, text in enumerate(settings):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "flyball.toml").write_text(text)
        (folder / "pipeline.py").write_text(pipeline)
        assert load_project(folder).model.name == "churn"


def test_python_in_the_papers_is_python(blocks: Blocks) -> None:
    """Every Python block compiles."""
    for name, language, text in blocks:
        if language == "python":
            compile(text, name, "exec")


def test_bodies_of_requests_are_json(blocks: Blocks) -> None:
    """What curl is told to send inline can be read, and asks of churn what its template's features are."""
    bodies = [body for _, language, text in blocks if language == "sh" for body in re.findall(r"-d '([^']+)'", text)]
    asked = [json.loads(body) for body in bodies]
    template = json.loads((resources.files("flyball.project") / "template" / "request.json").read_text())
    rows = [row for item in asked for row in item.get("inputs", [])]
    assert rows
    assert [set(row) for row in rows] == [set(template["inputs"][0])] * len(rows)


def test_the_flights_to_ask_about_have_every_feature_of_the_demo(root: Path) -> None:
    """Numbers are numbers or null, categories are text, and each row has its key."""
    asked = json.loads((root / "examples/flights/request.json").read_text())
    assert len(asked["key"]) == len(asked["inputs"])
    for row in asked["inputs"]:
        assert set(row) == set(data.FEATURES)
        assert all(isinstance(row[name], str) for name in data.CATEGORIES)
        assert all(isinstance(row[name], int | float | None) for name in (*data.NUMBERS, *data.WEATHER))
