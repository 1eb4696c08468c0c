"""The papers of the repository, read once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def papers() -> dict[str, str]:
    """Path from the root -> text."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in sorted(found)}


@pytest.fixture(scope="session")
def blocks(papers: dict[str, str]) -> list[tuple[str, str, str]]:
    """(paper, language, text) of every fenced block."""
    return [(name, found[1], found[2]) for name, text in papers.items() for found in _FENCE.finditer(text)]


@pytest.fixture(scope="session")
def spans(papers: dict[str, str]) -> list[tuple[str, str]]:
    """(paper, text) of every piece of code within a line of prose; a span may be broken over two lines."""
    return [
        (name, " ".join(span.split()))
        for name, text in papers.items()
        for span in re.findall(r"`([^`]+)`", _FENCE.sub("", text))
    ]


@pytest.fixture(scope="session")
def shell(blocks: list[tuple[str, str, str]], spans: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """(paper, command) of everything a reader may type: lines of `sh` blocks and pieces of code in prose."""
    lines = [(name, line) for name, language, text in blocks if language == "sh" for line in text.splitlines()]
    return [(name, part.split("#")[0].strip()) for name, line in [*lines, *spans] for part in line.split("&&")]
