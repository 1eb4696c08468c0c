"""`flyball diff A B`: what differs between two versions, and what is the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from flyball.cli.options import at_place, json_option
from flyball.cli.place import Place, open_home
from flyball.cli.show import printable, put, table
from flyball.registry.codec import plain
from flyball.registry.records import Version
from flyball.registry.versions import find, models, parse_reference

if TYPE_CHECKING:
    from flyball.loop.behaviour import Behaviour


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
@click.option("--facts-only", is_flag=True, help="Do not ask the two versions; compare what is known of them.")
@at_place
@json_option
def diff(place: Place, a: str, b: str, facts_only: bool, as_json: bool) -> None:
    """What differs between two versions: parameters, data, code, metrics, environment; and how they answer the same rows."""
    database = open_home(place)
    first = find(database, *parse_reference(a))
    # A second name without a model's is a version of the first one's model.
    second = find(database, *(parse_reference(b) if "@" in b or b in models(database) else (first.model, b)))
    found = differences(first, second)
    document: dict[str, Any] = {
        "a": _name(first),
        "b": _name(second),
        "differences": [plain(item) for item in found],
    }
    text = render(first, second, found)
    if not facts_only:
        from flyball.loop.behaviour import behaviour, code_changes  # pandas and onnxruntime: `diff --help` does without

        changes = list(code_changes(place.home, first, second))
        answered = behaviour(database, place.home, first, second)
        document |= {
            "code": changes,
            "behaviour": {"why_not": answered} if isinstance(answered, str) else plain(answered),
        }
        text = "\n".join([text, *told_code(changes), told_behaviour(answered)])
    put(document, text, as_json=as_json)


def told_code(changes: list[str]) -> list[str]:
    """The diff of the recipes, cut where it gets long."""
    if not changes:
        return []
    more = [f"… {len(changes) - LONGEST:,} more lines; --json has them"] if len(changes) > LONGEST else []
    return ["", *map(printable, changes[:LONGEST]), *more]


def told_behaviour(found: Behaviour | str) -> str:
    """One paragraph on how the two answer the same rows."""
    if isinstance(found, str):
        return f"\nhow both answer the same rows is not known: {printable(found)}"
    changed = "" if found.changed is None else f"; {found.changed:.2%} of the rows get another class"
    together = "" if found.correlation is None else f", correlation {found.correlation:.4f}"
    which = "last rows in the lake" if found.run is None else f"held-out rows (run {found.run[:12]})"
    told = (
        f"\non the same {found.rows:,} {which}: scores differ by {found.mean_difference:.4f} on "
        f"average, {found.largest_difference:.4f} at most{together}{changed}"
    )
    return "\n".join([told, *_furthest(found)])


def _furthest(found: Behaviour) -> Iterator[str]:
    """The rows that the two are furthest apart on."""
    if found.worst:
        rows = [(item.row, item.difference, item.a, item.b, *item.values.values()) for item in found.worst]
        yield table(("ROW", "APART", "FIRST", "SECOND", *found.worst[0].values), rows)
    if found.hidden:
        yield f"not shown, by [columns]: {printable(', '.join(found.hidden))}"


def differences(a: Version, b: Version) -> list[Difference]:
    """Every fact that the two do not share, by section; facts that both lack are not differences."""
    left, right = dict(_facts(a)), dict(_facts(b))
    names = list(dict.fromkeys([*left, *right]))
    return [
        Difference(section=section, name=name, a=left.get((section, name)), b=right.get((section, name)))
        for section, name in sorted(names, key=lambda item: SECTIONS.index(item[0]))
        if left.get((section, name)) != right.get((section, name))
    ]


#: lines of a code diff that are printed.
LONGEST = 200

SECTIONS = ("params", "data", "code", "metrics", "environment")


def render(a: Version, b: Version, found: list[Difference]) -> str:
    """A table of differences; then the sections in which there is none."""
    rows = [(item.section, item.name, item.a, item.b) for item in found]
    same = [section for section in SECTIONS if section not in {item.section for item in found}]
    text = table(("", "", _name(a), _name(b)), rows, empty=f"{_name(a)} and {_name(b)} do not differ")
    return text if not (found and same) else f"{text}\nthe same: {', '.join(same)}"


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
