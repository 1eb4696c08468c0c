"""Rows that two versions can both be asked about: what either's run held out, else the last ones that were asked.

Nothing is unpickled: tables are Parquet.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from typing import Any

import pandas as pd

from flyball.engine.contract import Contract
from flyball.errors import FlyballError, NotFound
from flyball.journal.lake import connect
from flyball.loop.frames import frame_of
from flyball.loop.reanswer import asked_value
from flyball.loop.recipe import RECIPE
from flyball.pipeline.artifact import is_intact, load
from flyball.pipeline.runs import steps_of
from flyball.project.load import load_project
from flyball.registry import live
from flyball.registry.records import Version
from flyball.store import Database, Home

#: the last rows that are asked: enough for two digits of any share; of the lake, whose rows are read one by one, fewer.
ASKED_ROWS, LAKE_ROWS = 20_000, 2_000

#: results that are tables on disk; a pickle is loaded in step processes only.
TABLES = ("pandas", "polars", "arrow")


def held_out(database: Database, home: Home, version: Version) -> pd.DataFrame:
    """The held-out table of the version's run. Raises FlyballError: there is none, or it is gone."""
    run = version.lineage.run
    if version.lineage.adopted is not None:
        step = "adopt.reference"
    else:
        named = load_project(home.runs / run / RECIPE).pipeline.holdout
        if named is None:
            raise NotFound("it held nothing out")
        step = named
    found = {item.name: item.artifact for item in steps_of(database, run)}.get(step)
    if found is None or found.kind not in TABLES or not found.rows or not is_intact(found, home.runs / run):
        raise NotFound(f"the rows of step {step!r} are gone, or no table")
    return frame_of(load(found, home.runs / run), "the held-out table").tail(ASKED_ROWS)


def last_asked(database: Database, home: Home, model: str, contracts: Sequence[Contract]) -> pd.DataFrame:
    """The last rows in the lake of which every feature of these contracts is kept as it was asked. Raises NotFound."""
    kinds = {item.name: item.kind for contract in contracts for item in contract.features}
    policies = {item.generation: item.columns for item in live.history(database, model)}
    sql = f"SELECT generation, features FROM predictions ORDER BY timestamp DESC, id LIMIT {LAKE_ROWS}"  # noqa: S608
    with closing(connect(home, model)) as lake:
        rows = lake.sql(sql).to_arrow_table().to_pylist()
    kept = [row["features"] for row in reversed(rows) if _whole(row, kinds, policies.get(row["generation"]))]
    if not kept:
        raise NotFound(
            f"the lake of {model} has no row with all features of both" if rows else f"the lake of {model} is empty"
        )
    return pd.DataFrame({name: [asked_value(kind, row[name]) for row in kept] for name, kind in kinds.items()})


def unkept(database: Database, home: Home, versions: Sequence[Version]) -> dict[str, str]:
    """Column -> "hash" or "drop", as any deployment says, or what the versions' runs have kept of `[columns]`."""
    found: dict[str, str] = {}
    for version in versions:
        policies = [item.columns for item in live.history(database, version.model)]
        with suppress(FlyballError):
            policies.append(load_project(home.runs / version.lineage.run / RECIPE).columns)
        found |= {name: how for policy in policies for name, how in policy.items() if how != "keep"}
    return found


def _whole(row: Mapping[str, Any], names: Mapping[str, Any], policy: Mapping[str, str] | None) -> bool:
    """Whether the row is known as it was asked; of one whose deployment is not kept nobody can tell."""
    features = row["features"] or {}
    return policy is not None and all(name in features and policy.get(name, "keep") == "keep" for name in names)
