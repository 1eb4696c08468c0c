"""Data that DVC itself tracks: what it says of a file is in the lineage of the version trained on it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flyball.errors import Mistake
from flyball.loop import release
from flyball.loop.reproduce import reproduce
from flyball.loop.site import open_site
from flyball.loop.sources import sources
from flyball.project.load import load_project
from flyball.registry.versions import version
from flyball.store import Home, open_database
from tests.integration.loop.conftest import DAY, SETTINGS, START, rows_of, write_project

pytestmark = pytest.mark.slow

#: DVC needs packages of its own versions: `.ci/run` gives it an environment beside this one.
DVC = Path(sys.prefix) / "tools" / "dvc" / "bin" / "dvc"

WITH_SOURCE = SETTINGS.replace("[pipeline]\n", '[pipeline]\nsource = ["rows.parquet"]\n')


@pytest.fixture
def dvc(tmp_path: Path) -> str:
    found = str(DVC) if DVC.exists() else shutil.which("dvc")
    if found is None:
        pytest.skip(f"DVC is not installed: neither {DVC.relative_to(sys.prefix)} in the environment, nor on the PATH")
    return found


def do(folder: Path, *words: str) -> str:
    who = {f"GIT_{role}_{what}": "ada@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    environment = {**os.environ, **who, "DVC_NO_ANALYTICS": "1"}
    return subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True, text=True).stdout.strip()


def test_a_version_names_the_revision_of_its_data(tmp_path: Path, dvc: str) -> None:
    """MD5 and commit by which DVC gives it back; other data is another revision, and the old is fetched by it."""
    folder = write_project(tmp_path / "project", settings=WITH_SOURCE)
    do(folder, "git", "init", "-q")
    do(folder, dvc, "init", "-q")
    do(folder, dvc, "add", "-q", "rows.parquet")
    do(folder, "git", "add", "-A")
    do(folder, "git", "commit", "-qm", "the first rows")
    first = do(folder, "git", "rev-parse", "HEAD")
    database = open_database(home := Home(tmp_path / "home"))
    with open_site(load_project(folder), home, database, lambda _: None) as site:
        release.retrain(site, now=START, reason="first", why="the first version")
        rows_of(days=60, seed=4).to_parquet(folder / "rows.parquet", index=False)
        release.retrain(site, now=START + DAY, why="rows that nobody has added")
        do(folder, dvc, "add", "-q", "rows.parquet")
        do(folder, "git", "commit", "-qam", "other rows")
        release.retrain(site, now=START + 2 * DAY, why="other rows")
        (folder / "rows.parquet").unlink()
        with pytest.raises(Mistake, match=r"`dvc pull rows\.parquet` fetches it"):
            release.retrain(site, now=START + 3 * DAY, why="no rows")
    said = [version(database, "late", number).lineage.sources["rows.parquet"] for number in (1, 2, 3)]
    assert [item.get("revision") for item in said] == [first, first, do(folder, "git", "rev-parse", "HEAD")]
    assert [item["state"] for item in said] == ["as tracked", "changed", "as tracked"]
    assert said[0]["md5"] == said[1]["md5"] != said[2]["md5"]

    do(folder, "git", "checkout", "-q", first)
    do(folder, dvc, "checkout", "-q")
    made = reproduce(database, home, version(database, "late", 1), folder, rebuild=False, say=lambda _: None)
    assert (made.result, made.data, made.notes) == ("bit-equal", "source", ())
    database.close()


def test_a_folder_that_dvc_tracks_is_told_as_dvc_tells_it(tmp_path: Path, dvc: str) -> None:
    """The MD5 of its list of files."""
    folder = tmp_path / "data"
    (folder / "parts" / "2013").mkdir(parents=True)
    for name in ("b.csv", "a.csv", "2013/c.csv"):
        (folder / "parts" / name).write_text(f"{name}\n")
    do(folder, "git", "init", "-q")
    do(folder, dvc, "init", "-q")
    do(folder, dvc, "add", "-q", "parts")
    found = sources(folder, ["parts"])["parts"]
    assert (found["dvc"], found["state"]) == ("parts.dvc", "as tracked")
    (folder / "parts" / "a.csv").write_text("else\n")
    assert sources(folder, ["parts"])["parts"]["state"] == "changed"
