"""`flyball lineage MODEL@REF`: where a version comes from and what became of it, as a tree from its data to live traffic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import click

from flyball.cli.options import at_place, json_option
from flyball.cli.origin import MANIFEST, Period, Traffic, artifacts_of, periods, run_of, said, source_of, traffic
from flyball.cli.place import Place, open_home
from flyball.cli.reading import kept_verdict, turns
from flyball.cli.show import cell, minute, printable, put, span
from flyball.cli.versions import commit, parameters
from flyball.dashboard.reads import history
from flyball.pipeline.runs import RunRecord, StepRecord
from flyball.registry import names
from flyball.registry.codec import plain
from flyball.registry.records import Verdict, Version
from flyball.registry.versions import find, parse_reference
from flyball.registry.versions import version as version_of
from flyball.store import Database, utcnow

#: packages named in the tree; all of them are in the JSON.
TELLING = ("python", "numpy", "pandas", "scikit-learn", "lightgbm", "xgboost", "onnxruntime", "mlflow-skinny")

#: metrics of one line, and periods that are shown, the last ones.
METRICS, PERIODS = 4, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that the tree is drawn from."""

    version: Version
    aliases: tuple[str, ...]
    verdict: Verdict | None
    run: RunRecord | None
    steps: tuple[StepRecord, ...]
    #: the bundle's files; None where its manifest cannot be read.
    artifacts: Mapping[str, Mapping[str, Any]] | None
    live: tuple[Period, ...]
    traffic: Traffic
    #: the champions it followed, the nearest first.
    ancestors: tuple[Version, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One line of the tree, and what hangs on it. Without a text it is a heading; one without either is not drawn."""

    name: str
    text: str | None = None
    branches: tuple[Branch, ...] = ()


@click.command()
@click.argument("version", metavar="MODEL@REF")
@at_place
@json_option
def lineage(place: Place, version: str, as_json: bool) -> None:
    """Where a version comes from: data, run, gate, refit, files, MLflow; when it was live, and what it has answered so far."""
    database = open_home(place)
    found = find(database, *parse_reference(version))
    from flyball.journal.carry import carry  # pyarrow: `--help` does without

    carry(place.home, database, now=utcnow())  # what was just answered still lies in the journal
    run, steps = run_of(database, found)
    moves = history(database, found.model)
    known = Known(
        version=found,
        aliases=names.names_of(database, found.model, found.number),
        verdict=kept_verdict(database, found),
        run=run,
        steps=steps,
        artifacts=artifacts_of(place.home.path / found.bundle),
        live=tuple(periods(moves, found.number)),
        traffic=traffic(place.home, found),
        ancestors=tuple(ancestors(database, found)),
    )
    document: dict[str, Any] = {
        **plain(known),
        "source": source_of(found.lineage, run, steps),
        "moves": [plain(item) for item in turns(moves, found.number)],
        "ancestors": [
            {"number": item.number, "label": item.label, "created_at": item.created_at} for item in known.ancestors
        ],
    }
    put(document, render(known), as_json=as_json)


def ancestors(database: Database, version: Version) -> Iterator[Version]:
    """The champions it followed, the nearest first."""
    while version.lineage.parent is not None:
        version = version_of(database, version.model, version.lineage.parent)
        yield version


def render(known: Known) -> str:
    """The version, then the tree in the order of its life."""
    version = known.version
    called = f"; {', '.join(known.aliases)}" if known.aliases else ""
    root = f"{version.model} v{version.number}  {version.label}  ({version.stage}{called})"
    lines = [root, *_lines([*tree(known)], "")]
    return "\n".join(printable(line) for line in lines)


def tree(known: Known) -> Iterator[Branch]:
    """From the data to live traffic."""
    version, lineage = known.version, known.version.lineage
    rows = f"{lineage.data_rows:,} rows, {span(lineage.data_start, lineage.data_end)}, digest {lineage.data_digest}"
    yield Branch(name="adopted", text=_adopted(lineage.adopted))
    yield Branch(name="source", text=source_of(lineage, known.run, known.steps))
    yield Branch(name="data" if lineage.adopted is None else "reference", text=rows)
    yield Branch(name="run", text=_run(known), branches=tuple(_inside_run(known)))
    twin = lineage.gated_twin
    candidate = f"digest {twin['digest'] if twin else version.digest}"
    yield Branch(name="candidate", text=candidate, branches=tuple(_metrics(version)))
    yield Branch(name="gate", text=_gate(known.verdict))
    yield Branch(name="refit", text=_refit(twin))
    name = f"v{version.number}"
    yield Branch(name=name, text=f"{version.bundle}, digest {version.digest}", branches=tuple(_files(known)))
    yield Branch(name="MLflow", text=f"run {lineage.mlflow_run}, version {name[1:]}" if lineage.mlflow_run else None)
    lived = said(known.live[-PERIODS:])
    earlier = len(known.live) - len(lived)
    yield Branch(name="live", text="; ".join([*([f"{earlier} times before"] if earlier else []), *lived]) or "never")
    yield Branch(name="traffic", text=_traffic(known.traffic))
    yield Branch(name="after", text=" ← ".join(f"v{item.number}" for item in known.ancestors))


def _inside_run(known: Known) -> Iterator[Branch]:
    lineage = known.version.lineage
    of = commit(known.version)
    yield Branch(name="recipe", text=f"digest {lineage.recipe_digest}, {f'commit {of}' if of else 'no commit'}")
    yield Branch(name="parameters", text=parameters(known.version))
    steps = [f"{item.name} {item.seconds:.1f} s" for item in known.steps if item.seconds is not None]
    yield Branch(name="steps", text=" → ".join(steps))
    packages = sum(name != "python" for name in lineage.environment)
    telling = [f"{name} {lineage.environment[name]}" for name in TELLING if name in lineage.environment]
    yield Branch(name="environment", text=", ".join([f"{packages} packages", *telling]))
    yield Branch(name="hardware", text=lineage.hardware)


def _run(known: Known) -> str:
    lineage = known.version.lineage
    asked = f", asked for by {known.run.requested_by}" if known.run else ""
    return f"{lineage.run}, {minute(known.version.created_at)}, {lineage.reason}{asked}"


def _metrics(version: Version) -> Iterator[Branch]:
    told = [f"{name} {cell(value)}" for name, value in version.metrics.items()]
    for start in range(0, len(told), METRICS):
        yield Branch(name="metrics", text=", ".join(told[start : start + METRICS]))


def _gate(verdict: Verdict | None) -> str | None:
    """`flyball why` has its table."""
    if verdict is None:
        return None
    against = f"against v{verdict.champion}" if verdict.champion is not None else "no champion"
    failed = [item.why for item in verdict.results if not item.passed]
    count = len(verdict.results)
    held = f"{count} {'rule holds' if count == 1 else 'rules hold'}" if verdict.passed else "; ".join(failed)
    return f"{'passed' if verdict.passed else 'REFUSED'} on {verdict.rows:,} held-out rows, {against}: {held}"


def _refit(twin: Mapping[str, str] | None) -> str:
    return "trained once more on all rows; the candidate is its gated twin" if twin else "none: the candidate itself"


def _files(known: Known) -> Iterator[Branch]:
    if known.artifacts is None:
        yield Branch(name="files", text=f"{MANIFEST} cannot be read there")
    for name, item in sorted((known.artifacts or {}).items()):
        yield Branch(name=name, text=f"SHA-256 {item.get('sha256')}, {item.get('bytes'):,} bytes")


def _traffic(found: Traffic) -> str:
    rows = "row" if found.shadowed == 1 else "rows"
    shadowed = f"; {found.shadowed:,} {rows} scored as a shadow" if found.shadowed else ""
    if found.first is None or found.last is None:
        return f"no prediction in the lake{shadowed}"
    rows = "prediction" if found.answered == 1 else "predictions"
    return f"{found.answered:,} {rows}, {minute(found.first)} .. {minute(found.last)}{shadowed}"


def _adopted(about: Mapping[str, str] | None) -> str | None:
    if about is None:
        return None
    seen = {"unknown": "may have been trained on the reference's rows", "no": "was not trained on the reference's rows"}
    return (
        f"not trained here: {about['source']} ({about['flavour']}), digest {about['digest']}; reference {about['reference']},"
        f" digest {about['reference_sha256']}; {seen[about['seen']]}, as it was said at its adoption"
    )


def _lines(branches: Sequence[Branch], before: str) -> Iterator[str]:
    drawn = [item for item in branches if item.text or item.branches]
    width = max((len(item.name) for item in drawn), default=0)
    for item in drawn:
        last = item is drawn[-1]
        yield f"{before}{'└─' if last else '├─'} {item.name:<{width}}  {item.text or ''}".rstrip()
        yield from _lines(item.branches, f"{before}{'   ' if last else '│  '}")
