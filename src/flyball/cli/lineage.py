"""`flyball lineage MODEL@REF`: where a version comes from, as a tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

import click

from flyball.cli.options import at_place, json_option
from flyball.cli.place import Place, open_home
from flyball.cli.reading import kept_verdict, turns
from flyball.cli.show import cell, minute, printable, put, span
from flyball.cli.versions import commit, made_of, parameters
from flyball.dashboard.reads import history
from flyball.registry.codec import plain
from flyball.registry.records import Verdict, Version
from flyball.registry.versions import find, parse_reference
from flyball.registry.versions import version as version_of
from flyball.store import Database, Home, read_json

#: packages named in the tree; all of them are in the JSON.
TELLING = ("python", "numpy", "pandas", "scikit-learn", "lightgbm", "xgboost", "onnxruntime", "mlflow-skinny")

Branch = tuple[str, str | None]


@click.command()
@click.argument("version", metavar="MODEL@REF")
@at_place
@json_option
def lineage(place: Place, version: str, as_json: bool) -> None:
    """Where a version comes from, and what it has answered: data, code, environment, run, gate, files, traffic, ancestors."""
    database = open_home(place)
    found = find(database, *parse_reference(version))
    verdict, line = kept_verdict(database, found), ancestors(database, found)
    moved = turns(history(database, found.model), found.number)
    document: dict[str, Any] = {
        "version": plain(found),
        "verdict": plain(verdict) if verdict else None,
        "moves": [plain(item) for item in moved],
        "ancestors": [{"number": item.number, "label": item.label, "created_at": item.created_at} for item in line],
    }
    files, traffic = artifacts(place.home, found), answered(place.home, found)
    document |= {"artifacts": files, "traffic": traffic}
    live = "; ".join(f"{minute(item.start)} v{item.version} by {item.who}: {item.why}" for item in moved)
    known = [
        *facts(found, verdict),
        ("files", told_files(files)),
        ("live", live or None),
        ("traffic", told_traffic(traffic)),
    ]
    put(document, render(found, known, line), as_json=as_json)


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


def told_files(files: Mapping[str, str]) -> str | None:
    """`model.onnx 1f0c9a3b5d7e, …`"""
    return ", ".join(f"{name} {digest[:12]}" for name, digest in files.items()) or None


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


def facts(version: Version, verdict: Verdict | None) -> list[Branch]:
    """What a version is made of, each as a name and a sentence; None where nothing is known."""
    lineage = version.lineage
    environment = [f"{name} {lineage.environment[name]}" for name in TELLING if name in lineage.environment]
    passed = "passed" if verdict and verdict.passed else "refused"
    return [
        ("adopted", _adopted(lineage.adopted)),
        ("source", told_sources(lineage.sources)),
        ("data" if lineage.adopted is None else "reference", made_of(version, digest=True)),
        ("recipe", f"digest {lineage.recipe_digest}"),
        ("commit", commit(version)),
        ("parameters", parameters(version)),
        ("environment", ", ".join([*environment, lineage.hardware])),
        ("run", f"{lineage.run} at {minute(version.created_at)}, {lineage.reason}"),
        ("MLflow run", lineage.mlflow_run),
        ("metrics", ", ".join(f"{name} {cell(value)}" for name, value in version.metrics.items()) or None),
        ("gate", f"{passed}: {'; '.join(item.why for item in verdict.results) or 'no rule'}" if verdict else None),
        ("gated twin", f"digest {lineage.gated_twin.get('digest')}" if lineage.gated_twin else None),
        ("bundle", f"{version.bundle}, digest {version.digest}"),
    ]


def _adopted(about: Mapping[str, str] | None) -> str | None:
    if about is None:
        return None
    seen = {"unknown": "may have been trained on the reference's rows", "no": "was not trained on the reference's rows"}
    return (
        f"not trained here: {about['source']} ({about['flavour']}), digest {about['digest']}; reference {about['reference']},"
        f" digest {about['reference_sha256']}; {seen[about['seen']]}, as it was said at its adoption"
    )


def render(version: Version, branches: Sequence[Branch], line: Sequence[Version]) -> str:
    """The version at the root, a branch for each thing it is made of, its ancestors last."""
    known = [(name, text) for name, text in branches if text]
    if line:
        known.append(("after", " ← ".join(f"v{item.number}" for item in line)))
    width = max(len(name) for name, _ in known)
    marks = ["├─"] * (len(known) - 1) + ["└─"]
    root = f"{version.model} v{version.number}  {version.label}  ({version.stage})"
    lines = (f"{mark} {name:<{width}}  {text}" for mark, (name, text) in zip(marks, known, strict=True))
    return "\n".join(printable(text) for text in (root, *lines))
