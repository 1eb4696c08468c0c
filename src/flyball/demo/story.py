"""The year in numbers: one record for programs, the same told to a person. Pure but for reading lake and database."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from flyball.demo.arms import blind_arms, scores, static_arm
from flyball.demo.year import World
from flyball.journal import lake
from flyball.loop.site import Site
from flyball.pipeline.attempts import steps_of
from flyball.stats.metrics import compute
from flyball.store import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Where the time went, over all sittings; seconds."""

    wall_s: float = 0.0
    #: inside training runs, from collecting to registering.
    train_s: float = 0.0
    #: asking and being answered.
    ask_s: float = 0.0

    def __add__(self, other: Spent) -> Spent:
        return Spent(
            wall_s=self.wall_s + other.wall_s, train_s=self.train_s + other.train_s, ask_s=self.ask_s + other.ask_s
        )


def summary(site: Site, world: World, spent: Spent, dashboard: str) -> dict[str, Any]:
    """The contract's summary record of `flyball demo --json`."""
    rows = _rows(site, world)
    labelled = rows[rows["label"].notna()]
    counts = _counts(site.database, site.model)
    return {
        "days": len(world.days),
        "predictions": len(rows),
        "outcomes": len(labelled),
        **counts,
        "auc": {arm: _auc(labelled, arm) for arm in ("static", "blind", "loop")},
        "by_month": [_month(str(month), part) for month, part in labelled.groupby("month", sort=True)],
        "wall_s": round(spent.wall_s, 1),
        "train_s": round(spent.train_s, 1),
        "fit_s": round(fitting_seconds(site), 1),
        "served_per_s": round(len(rows) / spent.ask_s) if spent.ask_s else None,
        "dashboard": dashboard,
    }


def _rows(site: Site, world: World) -> pd.DataFrame:
    """One row a prediction in the lake: its label, its score, and what the two other arms would have said."""
    flights = world.flights[world.flights["timestamp"] >= pd.Timestamp(world.days[0])]
    flights = flights[flights["day"] <= world.days[-1].date().isoformat()]
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(lake.scored, site.home, site.model, world.days[0], _after(world), features=False)
        static, blind = scores(static_arm(site), flights), scores(blind_arms(site), flights)
        answered = coming.result()
    months = np.array([*flights["day"].str.slice(0, 7), None], dtype=object)
    place = pc.index_in(answered["key"], value_set=pa.array(flights["flight"].to_numpy(dtype=object)))
    # A prediction of no flight would be counted and belong nowhere.
    of = place.fill_null(-1).to_numpy()
    return pd.DataFrame(
        {
            "version": answered["version"].to_numpy(),
            "label": answered["label"].to_numpy(),
            "loop": answered["score"].to_numpy(),
            "static": np.append(static, np.nan)[of],
            "blind": np.append(blind, np.nan)[of],
            "month": months[of],
        }
    )


def _after(world: World) -> datetime:
    return world.days[-1].replace(hour=23, minute=59, second=59, microsecond=999_999)


def _auc(rows: pd.DataFrame, arm: str) -> float | None:
    value = compute("auc", "binary", _floats(rows["label"]), _floats(rows[arm]))
    return None if np.isnan(value) else round(value, 4)


def _floats(column: pd.Series[Any]) -> npt.NDArray[np.float64]:
    return column.to_numpy(dtype=np.float64)


def _month(month: str, rows: pd.DataFrame) -> dict[str, Any]:
    return {
        "month": month,
        "rows": len(rows),
        **{f"auc_{arm}": _auc(rows, arm) for arm in ("static", "blind", "loop")},
        "version": sorted({int(number) for number in rows["version"]}),
    }


_COUNTS = {
    "retrains": "SELECT count(*) AS n FROM run WHERE model = :model AND reason <> 'first' AND status IN ('released', 'refused')",
    "promotions": "SELECT count(*) AS n FROM rollout WHERE model = :model AND status = 'full' AND champion IS NOT NULL",
    "refusals": "SELECT count(*) AS n FROM run WHERE model = :model AND status = 'refused'",
    "rollbacks": "SELECT count(*) AS n FROM audit WHERE model = :model AND act = 'rollback'",
    "drift_alarms": "SELECT count(*) AS n FROM \"window\" WHERE model = :model AND kind = 'drift' AND verdict = 'drift'",
}


def _counts(database: Database, model: str) -> dict[str, int]:
    found = {}
    for name, sql in _COUNTS.items():
        row = database.one(sql, model=model)
        found[name] = int(row["n"]) if row else 0
    return found


def fitting_seconds(site: Site) -> float:
    """Seconds inside the steps that fit a model."""
    names = (site.project.pipeline.model, f"refit.{site.project.pipeline.model}")
    rows = site.database.all("SELECT id FROM run WHERE model = :model", model=site.model)
    steps = [step for row in rows for step in steps_of(site.database, row["id"])]
    return sum(step.seconds or 0.0 for step in steps if step.name in names)


def told(record: dict[str, Any]) -> list[str]:
    """The summary as lines for a person."""
    return [
        "",
        f"  {'month':<9}{'flights':>9}{'static v1':>12}{'blind':>9}{'the loop':>11}   live",
        *(
            f"  {item['month']:<9}{item['rows']:>9,}{_three(item['auc_static']):>12}{_three(item['auc_blind']):>9}"
            f"{_three(item['auc_loop']):>11}   {', '.join(f'v{number}' for number in item['version'])}"
            for item in record["by_month"]
        ),
        f"  {'all':<9}{record['outcomes']:>9,}{_three(record['auc']['static']):>12}{_three(record['auc']['blind']):>9}"
        f"{_three(record['auc']['loop']):>11}   {record['retrains']} retrains, {record['promotions']} promoted, "
        f"{record['refusals']} refused, {record['rollbacks']} rollbacks, {record['drift_alarms']} days of drift",
        "",
        f"  {record['predictions']:,} predictions asked over HTTP and found in the lake, {record['outcomes']:,} with an outcome"
        f" (the other flights never arrived); {record['served_per_s'] or 0:,} answers a second",
        f"  {record['wall_s']:.0f} s in all, {record['train_s']:.0f} s of them in training runs "
        f"({record['fit_s']:.0f} s fitting models)",
        "",
    ]


def _three(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
