"""On which line of a TOML text a section, key or array item stands: tomllib reads values and forgets their places.

The text is taken to be valid TOML, as tomllib has read it first; of any other text as much as can be followed is placed.
"""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_right
from collections.abc import Mapping

#: keys, and positions in arrays counted from 0: ("gate", "change", 1).
Place = tuple[str | int, ...]

_STRING = (
    r'"""(?:\\[\s\S]|[^\\])*?"""(?:"{0,2})'
    r"|'''[\s\S]*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
)
_BLANK = re.compile(r"[ \t]*")
_GAP = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*'""")
_SCALAR = re.compile(rf"{_STRING}|[^,\]\}}#\n]+")


class _Lost(Exception):
    """The text is not TOML from here on."""


def line_of(text: str, path: Place) -> int | None:
    """The line, from 1, of the section, key or item at `path`; None where the text has no such thing."""
    return lines_of(text).get(path)


def lines_of(text: str) -> Mapping[Place, int]:
    """The line, from 1, of every section, key and array item of `text`."""
    walk = _Walk(text)
    try:
        walk.document()
    except (_Lost, RecursionError):
        pass  # what has been placed so far is right
    breaks = [match.start() for match in re.finditer("\n", text)]
    return {path: bisect_right(breaks, offset - 1) + 1 for path, offset in walk.offsets.items()}


class _Walk:
    """One pass over the text, keeping the offset of whatever is named."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.offsets: dict[Place, int] = {}
        #: arrays of tables: path -> index of the newest element.
        self.newest: dict[Place, int] = {}

    def document(self) -> None:
        section: Place = ()
        while self.skip(_GAP) < len(self.text):
            if self.text[self.at] == "[":
                section = self.header()
            else:
                self.pair(section)

    def header(self) -> Place:
        """`[a.b]` or `[[a.b]]`; the path of what follows."""
        start = self.at
        double = self.text.startswith("[[", start)
        self.at += 2 if double else 1
        path: Place = ()
        for key in self.keys():
            path = self.inside((*path, key))
            self.offsets.setdefault(path, start)
        self.expect("]]" if double else "]")
        if double:
            owner = path[:-1] if isinstance(path[-1], int) else path
            self.newest[owner] = self.newest.get(owner, -1) + 1
            path = self.inside(owner)
        self.offsets[path] = start
        return path

    def inside(self, path: Place) -> Place:
        """`path`, with the index of the newest element where it names an array of tables."""
        return (*path, self.newest[path]) if path in self.newest else path

    def pair(self, section: Place) -> None:
        """`a.b = value`"""
        start, path = self.at, section
        for key in self.keys():
            path = (*path, key)
            self.offsets.setdefault(path, start)
        self.expect("=")
        self.skip(_BLANK)
        self.value(path)

    def keys(self) -> list[str]:
        found = []
        while True:
            self.skip(_BLANK)
            found.append(_unquoted(self.take(_KEY)))
            self.skip(_BLANK)
            if not self.text.startswith(".", self.at):
                return found
            self.at += 1

    def value(self, path: Place) -> None:
        # One frame for each level of nesting, fewer than tomllib needs: what it has read cannot be too deep here.
        opening = self.text[self.at : self.at + 1]
        if opening not in ("[", "{"):
            self.take(_SCALAR)
            return
        self.at += 1
        index, closing = 0, "]" if opening == "[" else "}"
        while self.skip(_GAP) < len(self.text) and not self.text.startswith(closing, self.at):
            if opening == "[":
                self.offsets[(*path, index)] = self.at
                self.value((*path, index))
                index += 1
            else:
                self.pair(path)
            self.skip(_GAP)
            if self.text.startswith(",", self.at):
                self.at += 1
        self.expect(closing)

    def skip(self, pattern: re.Pattern[str]) -> int:
        self.at = self.at if (match := pattern.match(self.text, self.at)) is None else match.end()
        return self.at

    def take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            raise _Lost
        self.at = match.end()
        return match.group()

    def expect(self, token: str) -> None:
        if not self.text.startswith(token, self.at):
            raise _Lost
        self.at += len(token)


def _unquoted(key: str) -> str:
    if key[0] not in "\"'":
        return key
    try:
        return str(tomllib.loads(f"key = {key}")["key"])
    except tomllib.TOMLDecodeError:
        raise _Lost from None
