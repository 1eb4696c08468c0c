"""A home with a year of one model's life in it, written through the registry's own functions."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from flyball.cli.main import main
from flyball.registry import live
from flyball.registry.codec import plain
from flyball.registry.decisions import decide
from flyball.registry.records import Deployment, Lineage, RuleResult, Verdict, Version
from flyball.registry.versions import register
from flyball.stats.estimate import Estimate
from flyball.store import Database, Home, open_database


def day(text: str) -> datetime:
    """2013, at noon UTC: `day("03-01")`."""
    return datetime.fromisoformat(f"2013-{text}T12:00:00").replace(tzinfo=UTC)


def a_version(number: int, at: datetime, **changes: Any) -> Version:
    """A version of flight-delay; `changes` go into its lineage."""
    lineage = Lineage(
        run=f"run{number}",
        reason="drift",
        data_digest=f"{number}" * 64,
        data_rows=49_211,
        data_start=day("01-01"),
        data_end=at,
        recipe_digest="a" * 64,
        git_commit="c0ffee",
        git_dirty=False,
        params={"trees": 200},
        seed=7,
        environment={"python": "3.11.7", "lightgbm": "4.5.0", "click": "8.1.0"},
        hardware="Linux x86_64, 2 cores",
        parent=number - 1 or None,
        gated_twin=None,
        mlflow_run=None,
    )
    return Version(
        model="flight-delay",
        number=number,
        label=f"flight-delay-{at:%Y%m%d}-{str(number) * 8}-lgbm",
        created_at=at,
        bundle=f"runs/run{number}/bundle",
        digest="d" * 64,
        metrics={"auc": Estimate(value=0.69 + number / 100, low=0.68, high=0.72, rows=6402)},
        parity={"rows": 5000, "over_tolerance": 0},
        lineage=replace(lineage, **changes),
        stage="none",
    )


def a_verdict(number: int, at: datetime, *, passed: bool) -> Verdict:
    difference = Estimate(value=0.033, low=0.021, high=0.045, rows=6402)
    why = "AUC 0.694 vs champion 0.661 on the same 6,402 rows, +0.033 [+0.021, +0.045], better beyond chance"
    result = RuleResult(
        rule="auc > champion.auc",
        candidate=0.694,
        champion=0.661,
        difference=difference,
        passed=passed,
        why=why,
        detectable=0.0171,
    )
    return Verdict(
        model="flight-delay",
        run=f"run{number}",
        occasion="change",
        champion=number - 1,
        rows=6402,
        days=7,
        data_start=day("03-24"),
        data_end=day("03-31"),
        results=(result,),
        passed=passed,
        at=at,
    )


class Told:
    """A home and the command line that is asked about it."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.database: Database = open_database(home)

    def __call__(self, *words: str) -> Result:
        return CliRunner().invoke(main, [*words, "--home", str(self.home.path)])

    def release(self, version: Version, *, passed: bool = True, who: str = "flyball") -> None:
        """Register a version with its verdict; a passed one goes live."""
        at = version.created_at
        with self.database.write() as tx:
            register(tx, version)
            verdict = a_verdict(version.number, at, passed=passed)
            decide(
                tx,
                model=version.model,
                at=at,
                kind="gate",
                subject=f"v{version.number}",
                verdict="passed" if passed else "refused",
                reason=verdict.results[0].why,
                evidence=plain(verdict),
                dedup=f"gate:{version.lineage.run}",
            )
            if passed:
                before = live.current(tx, version.model)
                deployment = Deployment(
                    model=version.model,
                    generation=0,
                    live=version.number,
                    bundles={version.number: (version.bundle, version.digest)},
                    shadow=(),
                    columns={},
                    at=at,
                )
                why = f"v{version.number} is better beyond chance"
                live.deploy(tx, deployment, replaces=before.generation if before else None, who=who, why=why)


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What `told` and `empty` begin with, written once. Not to be changed."""
    told, empty = (Told(Home(tmp_path_factory.mktemp(name) / "home")) for name in ("told", "empty"))
    told.release(a_version(1, day("03-01")))
    told.release(a_version(2, day("04-02"), params={"trees": 400}, git_dirty=True))
    told.release(a_version(3, day("11-11")), passed=False)
    for written in (told, empty):
        written.database.close()
    return {"told": told.home.database, "empty": empty.home.database}


def _copied(database: Path, folder: Path) -> Told:
    home = Home(folder).made()
    shutil.copy(database, home.database)
    return Told(home)


@pytest.fixture
def told(tmp_path: Path, databases: dict[str, Path]) -> Told:
    """v1 live on 1 March, v2 from 2 April, v3 refused on 11 November."""
    return _copied(databases["told"], tmp_path / "home")


@pytest.fixture
def empty(tmp_path: Path, databases: dict[str, Path]) -> Told:
    """A home in which nothing has happened."""
    return _copied(databases["empty"], tmp_path / "home")
