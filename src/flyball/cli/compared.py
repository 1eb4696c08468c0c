"""Rows that two versions can both be asked about, and how their answers compare. Nothing is unpickled here: tables are
Parquet, models are bundles, and a native one answers from its own process.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from flyball.cli.again import close, record_of
from flyball.engine.check import Violation, columns_from_records
from flyball.engine.contract import Columns, Contract
from flyball.engine.frame import columns_from_frame
from flyball.engine.session import Engine, load_engine
from flyball.errors import FlyballError
from flyball.pipeline.artifact import is_intact, load_table
from flyball.pipeline.runs import steps_of
from flyball.registry import live
from flyball.registry.projects import projects
from flyball.registry.records import Version
from flyball.stats.agreement import Agreement, agreement, differences
from flyball.store import Database, Home

#: rows that are compared, the newest of those there are; of the lake fewer, for they are read one by one.
HELD_OUT_ROWS, LAKE_ROWS = 20_000, 2_000
#: rows that are shown, those that the versions are furthest apart on.
WORST = 3
#: the step that an adopted model's reference table is kept by, and the name a project's hold-out has unless it says otherwise.
ADOPTED, USUAL = "adopt.reference", "validate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """One row that the two answer far apart, without what the journal would not keep."""

    row: int
    a: float | str
    b: float | str
    difference: float
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How two versions answer the same rows; `agreement` is None where that cannot be had, and `why` says it."""

    source: str | None = None
    agreement: Agreement | None = None
    worst: tuple[Worst, ...] = ()
    #: features whose values are not shown, with what the journal does with them.
    hidden: Mapping[str, str] | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """A table, or records of the lake."""

    source: str
    table: pd.DataFrame | None = None
    records: Sequence[Mapping[str, Any]] = ()

    def columns(self, contract: Contract) -> Columns:
        if self.table is not None:
            return columns_from_frame(contract, self.table)
        return columns_from_records(contract, [record_of(contract, item) for item in self.records])

    def values(self, row: int, names: Sequence[str]) -> dict[str, Any]:
        if self.table is None:
            return {name: self.records[row][name] for name in names}
        return {name: _plain(self.table[name].iloc[row]) for name in names}


def behaviour(home: Home, database: Database, a: Version, b: Version) -> Behaviour:
    """Both versions on the newest rows that one of their runs held out, else on the lake's last ones."""
    try:
        with ExitStack() as stack:
            engines = [load_engine(home.path / item.bundle, item.digest) for item in (a, b)]
            for engine in engines:
                stack.callback(close, engine)
            return _compared(home, database, (a, b), engines)
    except Violation as error:
        return Behaviour(why=f"the lake's rows are not what both versions take: {error}")
    except FlyballError as error:
        return Behaviour(why=str(error))


def _compared(home: Home, database: Database, versions: Sequence[Version], engines: Sequence[Engine]) -> Behaviour:
    first, second = (item.contract for item in engines)
    other = _incomparable(first, second)
    if other is not None:
        return Behaviour(why=other)
    names = tuple(dict.fromkeys((*first.names(), *second.names())))
    rows, missing = _held_out(home, database, versions, names)
    if rows is None:
        rows, lacking = _from_lake(home, database, versions, names)
        missing = [*missing, *lacking]
    if rows is None:
        return Behaviour(why=f"no rows can be had: {'; '.join(missing)}")
    scores = [_scores(engine, rows.columns(engine.contract), first.classes) for engine in engines]
    apart = differences(*scores)
    hidden = _hidden(database, versions, names)
    shown = [name for name in names if name not in hidden]
    worst = [int(row) for row in np.argsort(-apart, kind="stable")[:WORST] if apart[row] > 0]
    said = [_said(item, first.classes) for item in scores]
    return Behaviour(
        source=rows.source,
        agreement=agreement(first.task, *scores),
        worst=tuple(
            Worst(row=row, a=said[0][row], b=said[1][row], difference=float(apart[row]), values=rows.values(row, shown))
            for row in worst
        ),
        hidden=hidden,
    )


def _incomparable(a: Contract, b: Contract) -> str | None:
    if a.task != b.task:
        return f"the one answers a {a.task} task, the other a {b.task} one"
    if set(a.classes) != set(b.classes) or a.positive != b.positive:
        return f"they answer other classes: {', '.join(a.classes)} and {', '.join(b.classes)}"
    return None


def _scores(engine: Engine, columns: Columns, classes: Sequence[str]) -> npt.NDArray[np.float64]:
    """Shape (n,) or, multiclass, (n, classes) in the order of `classes`."""
    answer = engine.predict(columns)
    if engine.contract.task != "multiclass" or answer.probabilities is None:
        return answer.score
    return answer.probabilities[:, [engine.contract.classes.index(name) for name in classes]]


def _said(scores: npt.NDArray[np.float64], classes: Sequence[str]) -> list[float | str]:
    if scores.ndim == 1:
        return [float(score) for score in scores]
    return [f"{classes[place]} {row[place]:.3g}" for row, place in zip(scores, scores.argmax(axis=1), strict=True)]


def _held_out(
    home: Home, database: Database, versions: Sequence[Version], names: Sequence[str]
) -> tuple[_Rows | None, list[str]]:
    """The later version's hold-out, else the earlier one's; and why not."""
    missing: list[str] = []
    for version in sorted(versions, key=lambda item: (item.created_at, item.number), reverse=True):
        of = f"v{version.number}"
        step = _holdout_step(database, version)
        kept = next((item.artifact for item in steps_of(database, version.lineage.run) if item.name == step), None)
        root = home.runs / version.lineage.run
        if kept is None:
            missing.append(f"the run of {of} kept no step {step}")
        elif not is_intact(kept, root):
            missing.append(f"the held-out rows of {of} are gone, or not what was written")
        elif (table := load_table(kept, root)) is None or not len(table):
            missing.append(f"the step {step} of {of} gave no rows")
        elif lacking := [name for name in names if name not in table.columns]:
            missing.append(f"the held-out rows of {of} have no {', '.join(lacking)}")
        else:
            source = f"the rows that the run of {of} held out (step {step})"
            return _Rows(source=source, table=table.tail(HELD_OUT_ROWS).reset_index(drop=True)), missing
    return None, missing


def _from_lake(
    home: Home, database: Database, versions: Sequence[Version], names: Sequence[str]
) -> tuple[_Rows | None, list[str]]:
    """The last rows that were asked of the later version's model, of which every feature is kept as it was."""
    from flyball.journal.lake import connect

    model = versions[-1].model
    policies = {item.generation: item.columns for item in live.history(database, model)}
    sql = f"SELECT generation, features FROM predictions ORDER BY timestamp DESC, id LIMIT {LAKE_ROWS}"  # noqa: S608
    with closing(connect(home, model)) as lake:
        rows = lake.sql(sql).to_arrow_table().to_pylist()
    kept = [
        row["features"]
        for row in reversed(rows)
        if row["generation"] in policies
        and all(policies[row["generation"]].get(name, "keep") == "keep" for name in names)
        and all(name in (row["features"] or {}) for name in names)
    ]
    if kept:
        return _Rows(source=f"the last {len(kept):,} rows in the lake", records=kept), []
    what = "keeps no row with all features of both" if rows else "has no row"
    return None, [f"the lake of {model} {what}"]


def _holdout_step(database: Database, version: Version) -> str:
    """By its name in flyball.toml as that stands now: a run does not say which of its steps held out."""
    if version.lineage.adopted is not None:
        return ADOPTED
    return str(_settings(database, version.model).get("pipeline", {}).get("holdout") or USUAL)


def _hidden(database: Database, versions: Sequence[Version], names: Sequence[str]) -> dict[str, str]:
    """Feature -> "hash" or "drop", as any deployment says, or the project as it stands now."""
    found: dict[str, str] = {}
    for model in {item.model for item in versions}:
        policies = [item.columns for item in live.history(database, model)]
        for policy in (*policies, _settings(database, model).get("columns", {})):
            found |= {name: str(what) for name, what in policy.items() if what != "keep" and name in names}
    return found


def _settings(database: Database, model: str) -> dict[str, Any]:
    """The project's flyball.toml; empty where it cannot be read: `flyball check` says why."""
    folder = projects(database).get(model)
    try:
        return tomllib.loads((folder / "flyball.toml").read_text()) if folder else {}
    except (OSError, ValueError):
        return {}


def _plain(value: Any) -> Any:
    missing = value is None or value is pd.NA or value is pd.NaT or value != value
    if missing or isinstance(value, np.generic):
        return None if missing else value.item()
    return value.isoformat() if hasattr(value, "isoformat") else value
