"""`flyball diff A B`: what differs between two versions, what is the same, and how both answer the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from flyball.cli.options import at_place, json_option
from flyball.cli.place import Place, open_home
from flyball.cli.recipes import CodeDifference, code_difference
from flyball.cli.show import cell, fields, printable, put, table
from flyball.registry.codec import plain
from flyball.registry.records import Version
from flyball.registry.versions import find, models, parse_reference

if TYPE_CHECKING:
    from flyball.cli.compared import Behaviour


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that two versions do not share."""

    #: params | data | code | metrics | environment
    section: str
    name: str
    a: Any
    b: Any


@click.command()
@click.argument("a", metavar="MODEL@REF")
@click.argument("b", metavar="[MODEL@]REF")
@at_place
@json_option
def diff(place: Place, a: str, b: str, as_json: bool) -> None:
    """What differs between two versions: parameters, data, code, metrics, environment; and how both answer the same rows."""
    from flyball.cli.compared import behaviour  # pandas and onnxruntime: `--help` does without

    database = open_home(place)
    first = find(database, *parse_reference(a))
    # A second name without a model's is a version of the first one's model.
    second = find(database, *(parse_reference(b) if "@" in b or b in models(database) else (first.model, b)))
    found = differences(first, second)
    code = code_difference(place.home.runs / first.lineage.run, place.home.runs / second.lineage.run)
    behaves = behaviour(place.home, database, first, second)
    document = {
        "a": _name(first),
        "b": _name(second),
        "differences": [plain(item) for item in found],
        "code": plain(code) if code else None,
        "behaviour": plain(behaves),
    }
    parts = (render(first, second, found), render_code(code), render_behaviour(first, second, behaves))
    put(document, "\n\n".join(part for part in parts if part), as_json=as_json)


def differences(a: Version, b: Version) -> list[Difference]:
    """Every fact that the two do not share, by section; facts that both lack are not differences."""
    left, right = dict(_facts(a)), dict(_facts(b))
    names = list(dict.fromkeys([*left, *right]))
    return [
        Difference(section=section, name=name, a=left.get((section, name)), b=right.get((section, name)))
        for section, name in sorted(names, key=lambda item: SECTIONS.index(item[0]))
        if left.get((section, name)) != right.get((section, name))
    ]


SECTIONS = ("params", "data", "code", "metrics", "environment")


def render(a: Version, b: Version, found: list[Difference]) -> str:
    """A table of differences; then the sections in which there is none."""
    rows = [(item.section, item.name, item.a, item.b) for item in found]
    same = [section for section in SECTIONS if section not in {item.section for item in found}]
    text = table(("", "", _name(a), _name(b)), rows, empty=f"{_name(a)} and {_name(b)} do not differ")
    return text if not (found and same) else f"{text}\nthe same: {', '.join(same)}"


def render_code(code: CodeDifference | None) -> str:
    """The unified diff; nothing where the digests in the table must do."""
    if code is None or not code.lines:
        return ""
    more = [f"… {code.left_out:,} more lines"] if code.left_out else []
    return "\n".join([*(printable(line.expandtabs()) for line in code.lines), *more])


def render_behaviour(a: Version, b: Version, found: Behaviour) -> str:
    """How far apart the answers are, and the rows where they are furthest."""
    if found.agreement is None:
        return f"behaviour on the same rows: not known; {printable(str(found.why))}"
    share = found.agreement.class_changes
    told = fields(
        [
            ("rows", found.agreement.rows),
            ("mean difference", found.agreement.mean_difference),
            ("max difference", found.agreement.max_difference),
            ("class changes", None if share is None else f"{share:.2%} of the rows"),
            ("correlation", found.agreement.correlation),
        ]
    )
    parts = [f"behaviour on {found.source}", told]
    if found.worst:
        names = list(found.worst[0].values)
        rows = [(item.row, item.difference, item.a, item.b, *item.values.values()) for item in found.worst]
        parts.append(table(("ROW", "APART", _name(a), _name(b), *names), rows))
    if found.hidden:
        parts.append(f"not shown, by [columns]: {', '.join(map(cell, found.hidden))}")
    return "\n".join(parts)


def _facts(version: Version) -> Iterator[tuple[tuple[str, str], Any]]:
    lineage = version.lineage
    data = {
        "rows": lineage.data_rows,
        "from": lineage.data_start,
        "to": lineage.data_end,
        "digest": lineage.data_digest,
    }
    code = {"recipe": lineage.recipe_digest, "commit": lineage.git_commit, "uncommitted changes": lineage.git_dirty}
    sections: tuple[Mapping[str, Any], ...] = (
        {**lineage.params, "seed": lineage.seed},
        data,
        code,
        version.metrics,
        {**lineage.environment, "hardware": lineage.hardware},
    )
    for section, facts in zip(SECTIONS, sections, strict=True):
        for name, value in facts.items():
            yield (section, name), value


def _name(version: Version) -> str:
    return f"{version.model}@{version.number}"
