"""Verbs that read the registry: models, versions, show, at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import click

from flyball.cli.options import as_past, at_place, json_option
from flyball.cli.place import Place, open_home
from flyball.cli.show import cell, fields, minute, put, span, table
from flyball.errors import NotFound
from flyball.registry import live, names
from flyball.registry import versions as registry
from flyball.registry.codec import plain
from flyball.registry.degraded import told
from flyball.registry.projects import require_model
from flyball.registry.records import Deployment, Listed, Version
from flyball.store import Database

#: columns of metrics in the table of versions.
METRICS = 3


@click.command()
@at_place
@json_option
def models(place: Place, as_json: bool) -> None:
    """List models: the version that is live and since when, the shadow, how many versions there are."""
    found = _models(open_home(place))
    rows = [
        (item["model"], item["live"], item["label"], item["since"], item["shadow"] or None, item["versions"])
        for item in found
    ]
    text = table(
        ("MODEL", "LIVE", "LABEL", "SINCE", "SHADOW", "VERSIONS"),
        [(model, _v(number), label, since, _vs(shadow), count) for model, number, label, since, shadow, count in rows],
        empty="no model has a version yet; `flyball run` trains the first",
    )
    put({"models": found}, text, as_json=as_json)


@click.command()
@click.argument("model")
@at_place
@json_option
def versions(place: Place, model: str, as_json: bool) -> None:
    """List the versions of MODEL with stage, metrics on their held-out rows, and what they were trained on."""
    database = open_home(place)
    require_model(database, model)
    given = names.numbers(database, model)
    if as_json:
        found = [plain(item) for item in registry.versions(database, model)]
        put({"model": model, "versions": found, "aliases": given}, "", as_json=True)
        return
    empty = f"{model} has no version yet; `flyball run` trains the first"
    put({}, render_versions(registry.listed(database, model, METRICS), given, empty), as_json=False)


@click.command()
@click.argument("version", metavar="MODEL@REF")
@at_place
@json_option
def show(place: Place, version: str, as_json: bool) -> None:
    """Show one version. REF is a number, production, staging, shadow, a label or an alias; without it production."""
    database = open_home(place)
    found = registry.find(database, *registry.parse_reference(version))
    given = names.names_of(database, found.model, found.number)
    put({"version": plain(found), "aliases": given}, render_version(found, given), as_json=as_json)


@click.command()
@click.argument("model")
@click.argument("time", callback=as_past)
@at_place
@json_option
def at(place: Place, model: str, time: datetime, as_json: bool) -> None:
    """Which version of MODEL was live at TIME (RFC 3339; a date is its midnight UTC; now), who put it there and why."""
    database = open_home(place)
    require_model(database, model)
    deployment = live.live_at(database, model, time)
    if deployment is None:
        raise NotFound(f"no version of {model} was live at {minute(time)}; {_first_live(database, model)}")
    version, (who, why) = registry.version(database, model, deployment.live), live.move_of(database, deployment)
    document = {
        "model": model,
        "time": time,
        "version": version.number,
        "label": version.label,
        "generation": deployment.generation,
        "since": deployment.at,
        "shadow": list(deployment.shadow),
        "who": who,
        "why": why,
    }
    names = ("since", "who", "why", "shadow")
    shown = {**document, "shadow": _vs(deployment.shadow)}
    put(
        document,
        f"v{version.number}  {version.label}\n{fields((name, shown[name]) for name in names)}",
        as_json=as_json,
    )


def render_versions(found: Sequence[Listed], given: Mapping[str, int], empty: str) -> str:
    """A table of versions, oldest first, with a column for each of the first few metrics (`show` has them all), and one for
    aliases where there are any.
    """
    metrics = list(dict.fromkeys(name for item in found for name in item.metrics))[:METRICS]
    rows = [
        (
            _v(item.number),
            item.stage,
            item.created_at,
            *(item.metrics.get(name) for name in metrics),
            item.data_rows,
            item.data_end,
            item.reason,
            *((", ".join(name for name, number in given.items() if number == item.number) or None,) if given else ()),
            item.label,
        )
        for item in found
    ]
    last = ("ROWS", "DATA TO", "REASON", *(("ALIASES",) if given else ()), "LABEL")
    return table(("", "STAGE", "MADE", *map(str.upper, metrics), *last), rows, empty=empty)


def render_version(version: Version, given: Sequence[str] = ()) -> str:
    """One version's record: what it is, how good, from what, where it lies."""
    lineage = version.lineage
    return fields(
        [
            ("version", f"{version.model} v{version.number}"),
            ("label", version.label),
            ("stage", version.stage),
            *((("aliases", ", ".join(given)),) if given else ()),
            ("made", version.created_at),
            *version.metrics.items(),
            ("data", made_of(version)),
            ("data digest", lineage.data_digest),
            ("recipe digest", lineage.recipe_digest),
            ("commit", commit(version)),
            ("parameters", parameters(version)),
            ("run", f"{lineage.run} ({lineage.reason})"),
            ("parent", _v(lineage.parent)),
            ("engine", _engine(version.parity)),
            ("parity", ", ".join(f"{name} {cell(value)}" for name, value in _proof(version.parity).items()) or None),
            ("MLflow run", lineage.mlflow_run),
            ("bundle", version.bundle),
            ("bundle digest", version.digest),
        ]
    )


def _engine(parity: Mapping[str, Any]) -> str | None:
    """`onnx`; `native: its categorical_features= cannot be expressed in the graph`"""
    return f"{parity['engine']}: {parity['why']}" if parity.get("why") else parity.get("engine")


def _proof(parity: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parity.items() if name not in ("engine", "why")}


def made_of(version: Version, *, digest: bool = False) -> str:
    """`9,000 rows, 2013-01-01 00:00Z .. 2013-03-01 00:00Z; degraded: preprocess from run 0f3ac1d2e4b5 (2013-07-01)`"""
    lineage = version.lineage
    rows = f"{lineage.data_rows:,} rows, {span(lineage.data_start, lineage.data_end)}"
    rows += f", digest {lineage.data_digest}" if digest else ""
    return "; ".join(filter(None, (rows, told(lineage.degraded))))


def commit(version: Version) -> str | None:
    """The commit the pipeline was run from, and whether the files differed from it."""
    lineage = version.lineage
    return (
        f"{lineage.git_commit}, files changed since" if lineage.git_commit and lineage.git_dirty else lineage.git_commit
    )


def parameters(version: Version) -> str:
    """`seed 7, trees 200`"""
    known = {"seed": version.lineage.seed, **version.lineage.params}
    return ", ".join(f"{name} {value}" for name, value in known.items())


def _models(database: Database) -> list[dict[str, Any]]:
    deployed = live.deployments(database)
    return [_model(registry.versions(database, name), deployed.get(name)) for name in registry.models(database)]


def _model(found: Sequence[Version], deployed: Deployment | None) -> dict[str, Any]:
    labels = {item.number: item.label for item in found}
    return {
        "model": found[0].model,
        "live": deployed.live if deployed else None,
        "label": labels[deployed.live] if deployed else None,
        "since": deployed.at if deployed else None,
        "generation": deployed.generation if deployed else None,
        "shadow": list(deployed.shadow) if deployed else [],
        "versions": len(found),
    }


def _first_live(database: Database, model: str) -> str:
    deployed = live.history(database, model)
    return f"the first went live {minute(deployed[0].at)}" if deployed else "none has been live yet"


def _v(number: int | None) -> str | None:
    return None if number is None else f"v{number}"


def _vs(numbers: Sequence[int] | None) -> str | None:
    return ", ".join(f"v{number}" for number in numbers) if numbers else None
