"""`flyball lineage MODEL@REF`: where a version comes from and what became of it, as a tree from its data to live traffic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import click

from flyball.cli.options import at_place, json_option
from flyball.cli.place import Place, open_home
from flyball.cli.reading import Period, kept_verdict, periods, turns
from flyball.cli.show import cell, minute, printable, put, span
from flyball.cli.versions import commit, made_of, parameters
from flyball.dashboard.reads import history
from flyball.errors import NotFound
from flyball.pipeline.attempts import StepRecord, steps_of
from flyball.pipeline.runs import RunRecord, find_run
from flyball.registry.codec import plain
from flyball.registry.names import names_of
from flyball.registry.records import Verdict, Version
from flyball.registry.versions import find, parse_reference
from flyball.registry.versions import version as version_of
from flyball.store import Database, Home, read_json

#: packages named in the tree; all of them are in the JSON.
TELLING = ("python", "numpy", "pandas", "scikit-learn", "lightgbm", "xgboost", "onnxruntime", "mlflow-skinny")

#: metrics in one line, and periods of being live that are shown, the last ones.
METRICS, PERIODS = 4, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One line of the tree, and what hangs on it; one without a text is not drawn."""

    name: str
    text: str | None
    branches: tuple[Branch, ...] = ()


@click.command()
@click.argument("version", metavar="MODEL@REF")
@at_place
@json_option
def lineage(place: Place, version: str, as_json: bool) -> None:
    """Where a version comes from, and what it has answered: data, code, environment, run, gate, files, traffic, ancestors."""
    database = open_home(place)
    found = find(database, *parse_reference(version))
    verdict, line = kept_verdict(database, found), ancestors(database, found)
    moves = history(database, found.model)
    lived, (run, steps) = periods(moves, found.number), run_of(database, found)
    given = names_of(database, found.model, found.number)
    files, traffic = artifacts(place.home, found), answered(place.home, found)
    document: dict[str, Any] = {
        "version": plain(found),
        "aliases": given,
        "verdict": plain(verdict) if verdict else None,
        "moves": [plain(item) for item in turns(moves, found.number)],
        "ancestors": [{"number": item.number, "label": item.label, "created_at": item.created_at} for item in line],
        "artifacts": files,
        "traffic": traffic,
        "run": plain(run) if run else None,
        "steps": [plain(item) for item in steps],
        "live": [plain(item) for item in lived],
    }
    branches = [
        *from_data(found, run, steps),
        *to_a_version(found, verdict, files),
        Branch(name="live", text=told_periods(lived)),
        Branch(name="traffic", text=told_traffic(traffic) or "no prediction in the lake"),
        Branch(name="after", text=" ← ".join(f"v{item.number}" for item in line) or None),
    ]
    put(document, render(found, given, branches), as_json=as_json)


def run_of(database: Database, version: Version) -> tuple[RunRecord | None, tuple[StepRecord, ...]]:
    """The run that made it, with its steps; None where no such run is kept."""
    try:
        return find_run(database, version.lineage.run), steps_of(database, version.lineage.run)
    except NotFound:
        return None, ()


def ancestors(database: Database, version: Version) -> list[Version]:
    """The champions it followed, the nearest first."""
    found: list[Version] = []
    while version.lineage.parent is not None:
        version = version_of(database, version.model, version.lineage.parent)
        found.append(version)
    return found


def artifacts(home: Home, version: Version) -> dict[str, str]:
    """The bundle's files -> their SHA-256, as its manifest says; empty where the bundle is gone."""
    path = home.path / version.bundle / "manifest.json"
    if not path.is_file():
        return {}
    return {name: str(entry["sha256"]) for name, entry in read_json(path)["files"].items()}


def answered(home: Home, version: Version) -> dict[str, Any] | None:
    """What it has answered, of the lake: `predictions`, of them `outcomes` known, `first` and `last` time. None: nothing."""
    from flyball.journal.lake import connect  # DuckDB and pyarrow: `lineage --help` does without

    with closing(connect(home, version.model)) as lake:
        sql = (
            "SELECT count(*) AS predictions, count(label_text) AS outcomes, min(timestamp) AS first, max(timestamp) AS last"
            " FROM scored WHERE version = ?"
        )
        found: dict[str, Any] = lake.sql(sql, params=[version.number]).to_arrow_table().to_pylist()[0]
    return found if found["predictions"] else None


def told_traffic(found: Mapping[str, Any] | None) -> str | None:
    """`84,120 predictions 2013-03-01 05:15Z .. 2013-03-14 03:59Z, 82,011 with an outcome`"""
    if found is None:
        return None
    when = span(found["first"], found["last"])
    return f"{found['predictions']:,} predictions {when}, {found['outcomes']:,} with an outcome; those that lie in the lake"


def told_sources(sources: Mapping[str, Mapping[str, str]]) -> str | None:
    """`rows.parquet 1f0c9a3b5d7e (DVC d41d8cd98f00 at 8a3f0c1b2d4e)`"""
    told = []
    for name, item in sources.items():
        dvc = ""
        if "md5" in item:
            at = f" at {item['revision'][:12]}" if "revision" in item else ", not committed"
            dvc = f" (DVC {item['md5'][:12]}{at}{'' if item['state'] == 'as tracked' else '; changed since'})"
        told.append(f"{name} {item['sha256'][:12]}{dvc}")
    return ", ".join(told) or None


def told_periods(found: Sequence[Period]) -> str:
    """`2013-04-02 12:00Z .. now, by flyball: better`"""
    last = found[-PERIODS:]
    earlier = [f"{len(found) - len(last)} times before"] if len(found) > len(last) else []
    told = [
        f"{minute(item.start)} .. {minute(item.until) if item.until else 'now'}, by {item.who}: {item.why}"
        for item in last
    ]
    return "; ".join([*earlier, *told]) or "never"


def from_data(version: Version, run: RunRecord | None, steps: Sequence[StepRecord]) -> Iterator[Branch]:
    """Where the rows come from, and the run that made a candidate of them."""
    lineage = version.lineage
    yield Branch(name="adopted", text=_adopted(lineage.adopted))
    yield Branch(name="source", text=told_sources(lineage.sources) or _first_table(run, steps))
    yield Branch(name="data" if lineage.adopted is None else "reference", text=made_of(version, digest=True))
    asked = f", asked for by {run.requested_by}" if run else ""
    of = commit(version)
    packages = sum(name != "python" for name in lineage.environment)
    telling = [f"{name} {lineage.environment[name]}" for name in TELLING if name in lineage.environment]
    inside = (
        Branch(name="recipe", text=f"digest {lineage.recipe_digest}, {f'commit {of}' if of else 'no commit'}"),
        Branch(name="parameters", text=parameters(version)),
        Branch(name="steps", text=" → ".join(_step(item) for item in steps if item.seconds is not None) or None),
        Branch(name="environment", text=", ".join([f"{packages} packages", *telling])),
        Branch(name="hardware", text=lineage.hardware),
    )
    yield Branch(
        name="run", text=f"{lineage.run}, {minute(version.created_at)}, {lineage.reason}{asked}", branches=inside
    )


def to_a_version(version: Version, verdict: Verdict | None, files: Mapping[str, str]) -> Iterator[Branch]:
    """The candidate, what its gate said, the refit, and the version with its files."""
    twin = version.lineage.gated_twin
    measured = [f"{name} {cell(value)}" for name, value in version.metrics.items()]
    lines = [", ".join(measured[start : start + METRICS]) for start in range(0, len(measured), METRICS)]
    candidate = f"digest {twin.get('digest') if twin else version.digest}"
    yield Branch(name="candidate", text=candidate, branches=tuple(Branch(name="metrics", text=line) for line in lines))
    yield Branch(name="gate", text=_gate(verdict))
    again = "trained once more on all rows; the candidate is its gated twin"
    yield Branch(name="refit", text=again if twin else "none: the candidate itself")
    kept = [Branch(name=name, text=f"SHA-256 {digest}") for name, digest in sorted(files.items())]
    gone = Branch(name="files", text="its manifest is not there")
    yield Branch(
        name=f"v{version.number}",
        text=f"{version.bundle}, digest {version.digest}",
        branches=tuple(kept or [gone]),
    )
    tracked = version.lineage.mlflow_run
    yield Branch(name="MLflow", text=f"run {tracked}, version {version.number}" if tracked else None)


def _first_table(run: RunRecord | None, steps: Sequence[StepRecord]) -> str | None:
    """Without data files that the project names: the step that first gave a table, and the window it was given."""
    for item in steps:
        if run is not None and item.artifact is not None and item.artifact.rows is not None:
            window = span(run.window.start, run.window.end)
            return (
                f"step {item.name}: {item.artifact.rows:,} rows, SHA-256 {item.artifact.sha256[:12]}, window {window}"
            )
    return None


def _step(step: StepRecord) -> str:
    return f"{step.name} {step.seconds:.1f} s"


def _gate(verdict: Verdict | None) -> str | None:
    """`flyball why` has its table."""
    if verdict is None:
        return None
    against = f"against v{verdict.champion}" if verdict.champion is not None else "no champion"
    count = len(verdict.results)
    held = f"{count} {'rule holds' if count == 1 else 'rules hold'}"
    said = held if verdict.passed else "; ".join(item.why for item in verdict.results if not item.passed)
    return f"{'passed' if verdict.passed else 'REFUSED'} on {verdict.rows:,} held-out rows, {against}: {said}"


def _adopted(about: Mapping[str, str] | None) -> str | None:
    if about is None:
        return None
    seen = {"unknown": "may have been trained on the reference's rows", "no": "was not trained on the reference's rows"}
    return (
        f"not trained here: {about['source']} ({about['flavour']}), digest {about['digest']}; reference {about['reference']},"
        f" digest {about['reference_sha256']}; {seen[about['seen']]}, as it was said at its adoption"
    )


def render(version: Version, given: Sequence[str], branches: Sequence[Branch]) -> str:
    """The version, then the tree in the order of its life."""
    called = f"; {', '.join(given)}" if given else ""
    root = f"{version.model} v{version.number}  {version.label}  ({version.stage}{called})"
    return "\n".join(printable(line) for line in (root, *_lines(branches, "")))


def _lines(branches: Sequence[Branch], before: str) -> Iterator[str]:
    drawn = [item for item in branches if item.text]
    width = max((len(item.name) for item in drawn), default=0)
    for item in drawn:
        last = item is drawn[-1]
        yield f"{before}{'└─' if last else '├─'} {item.name:<{width}}  {item.text}"
        yield from _lines(item.branches, f"{before}{'   ' if last else '│  '}")
