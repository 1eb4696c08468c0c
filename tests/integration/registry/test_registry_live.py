"""Versions, stages and live history in a real database."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flyball.errors import Conflict, Mistake, NotFound
from flyball.registry import audit, live
from flyball.registry.projects import add_project, projects
from flyball.registry.records import Deployment, Lineage, Version
from flyball.registry.versions import find, label_of, listed, register, versions
from flyball.stats.estimate import Estimate
from flyball.store import Database, Home, open_database

MARCH = datetime(2013, 3, 1, 9, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path, environ: Mapping[str, str]) -> Iterator[Database]:
    """An empty one, of each kind."""
    opened = open_database(Home(tmp_path / ".flyball"), environ)
    yield opened
    opened.close()


def made(number: int, run: str | None = None) -> Version:
    lineage = Lineage(
        run=run or f"run{number}",
        reason="first",
        data_digest="d3f9a1c2" * 8,
        data_rows=49_211,
        data_start=MARCH - timedelta(days=59),
        data_end=MARCH,
        recipe_digest="r",
        git_commit=None,
        git_dirty=False,
        params={"trees": 150},
        seed=7,
        environment={"numpy": "2.0"},
        hardware="x",
        parent=None,
        gated_twin=None,
        mlflow_run=None,
    )
    return Version(
        model="m",
        number=number,
        label=label_of("m", MARCH, lineage.data_digest, "lgbm"),
        created_at=MARCH,
        bundle=f"runs/run{number}/bundle",
        digest="b" * 64,
        metrics={"auc": Estimate(value=0.71, low=0.70, high=0.72, rows=6_000)},
        parity={"rows": 10},
        lineage=lineage,
        stage="none",
    )


def deployment(number: int, at: datetime, shadow: tuple[int, ...] = ()) -> Deployment:
    bundles = {item: (f"runs/run{item}/bundle", "b" * 64) for item in (number, *shadow)}
    return Deployment(model="m", generation=0, live=number, bundles=bundles, shadow=shadow, columns={}, at=at)


def put(
    database: Database, number: int, at: datetime, replaces: int | None, shadow: tuple[int, ...] = ()
) -> Deployment:
    with database.write() as tx:
        return live.deploy(tx, deployment(number, at, shadow), replaces=replaces, who="test", why="because")


def test_a_version_comes_back_as_it_was_written(database: Database) -> None:
    """Every field survives, intervals and times included."""
    with database.write() as tx:
        register(tx, made(1))

    assert versions(database, "m") == [made(1)]


def test_the_same_run_registers_once(database: Database) -> None:
    """A resumed run gets the version it already made."""
    with database.write() as tx:
        register(tx, made(1))
        again = register(tx, made(2, run="run1"))

    assert again.number == 1
    assert len(versions(database, "m")) == 1


def test_no_two_versions_of_a_model_carry_one_label(database: Database) -> None:
    """The second and the third of a day, of the same rows and condition, are numbered; each is found by its own."""
    with database.write() as tx:
        labels = [register(tx, made(number)).label for number in (1, 2, 3)]

    assert labels == [f"m-20130301-d3f9a1c2-lgbm{suffix}" for suffix in ("", "-2", "-3")]
    assert [find(database, "m", label).number for label in labels] == [1, 2, 3]
    assert [item.label for item in listed(database, "m", 3)] == labels


def test_a_list_shows_of_a_version_what_its_record_says(database: Database) -> None:
    """With no more metrics than were asked."""
    with database.write() as tx:
        register(tx, made(1))

    (item,) = listed(database, "m", 1)
    whole = made(1)
    assert (item.number, item.stage, item.created_at, item.reason) == (1, "none", MARCH, "first")
    assert (item.metrics, item.data_rows, item.data_end) == (whole.metrics, 49_211, MARCH)
    assert listed(database, "m", 0)[0].metrics == {}


def test_a_label_names_date_data_and_condition() -> None:
    """Training date, dataset version, experiment condition."""
    assert (
        label_of("flight-delay", datetime(2013, 7, 1, tzinfo=UTC), "d3f9a1c2ff", "lgbm")
        == "flight-delay-20130701-d3f9a1c2-lgbm"
    )


def test_stages_move_with_the_deployment(database: Database) -> None:
    """Live is production, beside it shadow; what is replaced is archived."""
    with database.write() as tx:
        for number in (1, 2, 3):
            register(tx, made(number))
    first = put(database, 1, MARCH, None)
    second = put(database, 1, MARCH + timedelta(days=1), first.generation, shadow=(2,))
    put(database, 2, MARCH + timedelta(days=2), second.generation)

    assert [item.stage for item in versions(database, "m")] == ["archived", "production", "none"]
    assert find(database, "m", "production").number == 2


def test_history_tells_what_was_live_then(database: Database) -> None:
    """`at` a time: the deployment in force, through rollbacks; before the first: nothing."""
    with database.write() as tx:
        register(tx, made(1))
        register(tx, made(2))
    generation = None
    for day, number in enumerate((1, 2, 1)):
        generation = put(database, number, MARCH + timedelta(days=day), generation).generation
    asked = [MARCH - timedelta(seconds=1), MARCH, MARCH + timedelta(days=1, hours=3), MARCH + timedelta(days=9)]
    found = [live.live_at(database, "m", at) for at in asked]

    assert [item.live if item else None for item in found] == [None, 1, 2, 1]
    assert [entry.becomes for entry in audit.entries(database)] == ["v1", "v2", "v1"]


def test_of_two_promotions_at_once_one_wins(database: Database) -> None:
    """Compare-and-set on the generation: the loser is told and nothing of it is written."""
    with database.write() as tx:
        for number in (1, 2, 3):
            register(tx, made(number))
    seen = put(database, 1, MARCH, None).generation
    told: list[str] = []

    def promote(number: int) -> None:
        try:
            put(database, number, MARCH + timedelta(days=1), seen)
        except Conflict as error:
            told.append(str(error))
        finally:
            database.close()

    threads = [threading.Thread(target=promote, args=(number,)) for number in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(told) == 1
    assert "deployed by somebody else" in told[0]
    assert len(live.history(database, "m")) == 2


def test_an_unknown_reference_names_what_there_is(database: Database) -> None:
    """NotFound lists models, or the model's versions."""
    with database.write() as tx:
        register(tx, made(1))

    with pytest.raises(NotFound, match=r"no version '9' of m \(versions 1"):
        find(database, "m", "9")
    with pytest.raises(NotFound, match=r"no model 'x' has a version here \(there is: m\)"):
        find(database, "x", "1")


def test_a_model_name_belongs_to_one_project(database: Database, tmp_path: Path) -> None:
    """A second folder with the same model name is refused while the first exists; a moved folder is followed."""
    here, there = tmp_path / "a", tmp_path / "b"
    here.mkdir()
    (here / "flyball.toml").write_text("")
    with database.write() as tx:
        add_project(tx, name="m", directory=here, at=MARCH)
    with pytest.raises(Mistake, match="belongs to the project in"), database.write() as tx:
        add_project(tx, name="m", directory=there, at=MARCH)
    (here / "flyball.toml").unlink()
    with database.write() as tx:
        add_project(tx, name="m", directory=there, at=MARCH)

    assert projects(database) == {"m": there}
