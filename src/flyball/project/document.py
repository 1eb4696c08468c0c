"""A document read by the schema: every key's value, and every problem by its place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flyball.project.locate import Place
from flyball.project.schema import SCHEMA, Each, Items, Key, Shape
from flyball.project.wording import nearest, shown

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,60}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with a document, by its place in it."""

    path: Place
    message: str
    #: the value as written, where the message is about a part of it.
    value: str | None = None

    def __str__(self) -> str:
        value = "" if self.value is None else f" {shown(self.value)}"
        return f"{label(self.path)}{value}: {self.message}"


def problem_at(*path: str | int, message: str, value: str | None = None) -> Problem:
    return Problem(path=path, message=message, value=value)


def label(path: Place) -> str:
    """`[gate] change[1]` for ("gate", "change", 0): people count from 1."""
    names = [part if _PLAIN.fullmatch(part) else shown(part) for part in path if isinstance(part, str)]
    items = "".join(f"[{part + 1}]" for part in path if isinstance(part, int))
    if len(names) < 2:
        return f"[{''.join(names)}]{items}"
    return f"[{'.'.join(names[:-1])}] {names[-1]}{items}"


def read_document(document: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """Every section with every key, read or at its default, and what was wrong.

    A value that was refused is at its default too (None where the key is required), so that the rest can still be judged.
    """
    problems: list[Problem] = []
    values = _read(SCHEMA, document, (), problems)
    return values, tuple(problems)


def _read(shape: Shape, value: Any, path: Place, problems: list[Problem]) -> Any:
    if isinstance(shape, Key):
        return _read_key(shape, value, path, problems)
    if isinstance(shape, Items):
        return _read_items(shape, value, path, problems)
    if not isinstance(value, dict):
        problems.append(Problem(path=path, message=f"needs a table, got {shown(value)}"))
        value = {}
    if isinstance(shape, Each):
        return {name: _read(shape.of, item, (*path, name), problems) for name, item in value.items()}
    unknown = [name for name in value if name not in shape]
    problems.extend(Problem(path=(*path, name), message=_unknown(name, shape, top=not path)) for name in unknown)
    return {
        name: _read(inner, value[name], (*path, name), problems)
        if name in value
        else _absent(inner, (*path, name), problems)
        for name, inner in shape.items()
    }


def _read_key(shape: Key, value: Any, path: Place, problems: list[Problem]) -> Any:
    try:
        return shape.reader(value)
    except ValueError as error:
        problems.append(Problem(path=path, message=str(error)))
        return shape.default


def _read_items(shape: Items, value: Any, path: Place, problems: list[Problem]) -> tuple[Any, ...] | None:
    if not isinstance(value, list):
        problems.append(Problem(path=path, message=f"needs a list, got {shown(value)}"))
        return shape.default
    if not value and not shape.empty:
        problems.append(Problem(path=path, message="needs at least one item; leave the key out to mean all"))
    items: list[Any] = []
    for index, item in enumerate(value):
        try:
            found = shape.reader(item)
        except ValueError as error:
            problems.append(Problem(path=(*path, index), message=str(error)))
            continue
        if shape.unique and found in items:
            problems.append(Problem(path=(*path, index), message="is listed twice", value=str(found)))
        items.append(found)
    return tuple(items)


def _absent(shape: Shape, path: Place, problems: list[Problem]) -> Any:
    if isinstance(shape, Key):
        if shape.required:
            problems.append(Problem(path=path, message=f"is missing; write {shape.required}"))
        return shape.default
    return shape.default if isinstance(shape, Items) else _read(shape, {}, path, problems)


def _unknown(name: str, shape: Mapping[str, Shape], *, top: bool) -> str:
    if not top:
        return f"unknown key{nearest(name, shape)}"
    owners = [section for section, keys in shape.items() if isinstance(keys, dict) and name in keys]
    if owners:
        return f"stands outside any section; write it under {' or '.join(f'[{owner}]' for owner in owners)}"
    return f"unknown section{nearest(name, shape)}"
