"""`flyball why` and `flyball gate`: the verdict on a version with its evidence, and what led to it and from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from flyball.cli.options import at_place, json_option
from flyball.cli.place import Place, open_home
from flyball.cli.reading import about, kept_verdict, turns
from flyball.cli.show import interval, minute, printable, put, span, table
from flyball.dashboard.reads import history
from flyball.dashboard.records import Tenure
from flyball.errors import NotFound
from flyball.registry.codec import plain
from flyball.registry.decisions import Decision
from flyball.registry.records import RuleResult, Verdict, Version
from flyball.registry.versions import find, parse_reference


@click.command()
@click.argument("version", metavar="MODEL[@REF]")
@at_place
@json_option
def why(place: Place, version: str, as_json: bool) -> None:
    """Why a version is what it is: the gate's verdict, the decisions about it, and what made it live or took it off."""
    database = open_home(place)
    found = find(database, *parse_reference(version))
    verdict, decided = kept_verdict(database, found), about(database, found)
    moved = turns(history(database, found.model), found.number)
    document = {
        "version": plain(found),
        "verdict": plain(verdict) if verdict else None,
        "decisions": [plain(item) for item in decided],
        "moves": [plain(item) for item in moved],
    }
    put(document, render(found, verdict, decided, moved), as_json=as_json)


@click.command()
@click.argument("version", metavar="MODEL@REF")
@at_place
@json_option
@click.option("--markdown", is_flag=True, help="As a comment for a merge request.")
@click.pass_context
def gate(ctx: click.Context, place: Place, version: str, as_json: bool, markdown: bool) -> None:
    """Print the verdict kept for a version. Exit code 0: it passed, 3: it was refused."""
    database = open_home(place)
    found = find(database, *parse_reference(version))
    verdict = kept_verdict(database, found)
    if verdict is None:
        raise NotFound(f"no gate's verdict is kept for {found.model} v{found.number}; `flyball why` tells what is")
    text = render_markdown(found, verdict) if markdown else render_verdict(verdict)
    put({"version": found.number, **plain(verdict)}, text, as_json=as_json)
    ctx.exit(0 if verdict.passed else 3)


def render(version: Version, verdict: Verdict | None, decided: Sequence[Decision], moved: Sequence[Tenure]) -> str:
    """The whole story of one version, in the order it happened."""
    lineage = version.lineage
    parts = [
        f"{version.model} v{version.number}  {version.label}  ({version.stage})",
        f"made {minute(version.created_at)}, {lineage.reason}: {lineage.data_rows:,} rows, "
        f"{span(lineage.data_start, lineage.data_end)}",
        render_verdict(verdict) if verdict else "no gate's verdict is kept for it",
        _section("decisions", (f"{minute(item.at)}  {item.kind} {_said(item)}" for item in decided)),
        _section("live", (_told(move, version.number) for move in moved)),
    ]
    return "\n\n".join(part for part in parts if part)


def render_verdict(verdict: Verdict) -> str:
    """The verdict as a table: rule, candidate, champion, difference with its interval, passed or not."""
    against = f"against v{verdict.champion}" if verdict.champion is not None else "no champion"
    days = f", {verdict.days} days" if verdict.days else ""
    head = (
        f"gate {'passed' if verdict.passed else 'REFUSED'}: {verdict.model}, {_OCCASIONS[verdict.occasion]}, {against}, "
        f"on {verdict.rows:,} held-out rows{days}, {span(verdict.data_start, verdict.data_end)}"
    )
    rows = [
        (item.rule, item.candidate, item.champion, _difference(item), "pass" if item.passed else "NO")
        for item in verdict.results
    ]
    text = table(("RULE", "CANDIDATE", "CHAMPION", "DIFFERENCE", ""), rows, empty="no rule applies to a first version")
    failed = (printable(item.why) for item in verdict.results if not item.passed)
    return "\n".join([head, text, *failed, *_reach(verdict)])


def render_markdown(version: Version, verdict: Verdict) -> str:
    """The verdict as a comment for a merge request: headline, table, what it rests on."""
    against = f"v{verdict.champion}" if verdict.champion is not None else "no champion"
    lines = [
        f"### {'Passed' if verdict.passed else 'Refused'}: {version.model} v{version.number} against {against}",
        "",
        f"`{version.label}`, {_OCCASIONS[verdict.occasion]}; {verdict.rows:,} held-out rows"
        f"{f' of {verdict.days} days' if verdict.days else ''}, {span(verdict.data_start, verdict.data_end)}.",
        "",
        "| rule | candidate | champion | difference | |",
        "|---|---:|---:|---:|---|",
        *(
            f"| `{_cell(item.rule)}` | {_number(item.candidate)} | {_number(item.champion)} | {_difference(item) or ''} "
            f"| {'pass' if item.passed else '**no**'} |"
            for item in verdict.results
        ),
        "",
        *(f"- {_cell(item.why)}" for item in verdict.results if not item.passed),
        *(f"- {line}" for line in _reach(verdict)),
    ]
    return "\n".join(lines).rstrip()


def _reach(verdict: Verdict) -> Iterator[str]:
    """What is not known of these rows, and what they could have shown, rule by rule."""
    if verdict.caveat:
        yield verdict.caveat
    for item in verdict.results:
        if item.detectable is not None:
            yield f"{item.rule}: a true difference of {item.detectable:.2g} would have been told from none 4 times in 5"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _cell(text: str) -> str:
    """Text that cannot end a cell or begin markup: a slice's value comes from the data."""
    return printable(text).replace("|", "\\|").replace("`", "'").replace("<", "&lt;")


_OCCASIONS = {"first": "a first version", "change": "another recipe", "refresh": "the same recipe on newer data"}


def _difference(item: RuleResult) -> str | None:
    found = item.difference
    return None if found is None else interval(found.value, found.low, found.high, sign="+")


def _said(item: Decision) -> str:
    """Verdict and reason; a reason that begins with its verdict does not say it twice."""
    return item.reason if item.reason.startswith(item.verdict) else f"{item.verdict}: {item.reason}"


def _told(move: Tenure, number: int) -> str:
    what = "went live" if move.version == number else f"gave way to v{move.version}"
    return f"{minute(move.start)}  {what}, by {move.who}: {move.why}"


def _section(title: str, lines: Iterator[str]) -> str:
    body = "\n".join(f"  {printable(line)}" for line in lines)
    return f"{title}\n{body}" if body else ""
