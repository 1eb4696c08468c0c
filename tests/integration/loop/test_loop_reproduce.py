"""A version made again from what its run kept, beside the one that was registered: real steps, real data files."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from packaging.requirements import Requirement

from flyball.errors import Mistake, Unavailable
from flyball.loop import release
from flyball.loop.recipe import CHANGES, RECIPE
from flyball.loop.reproduce import Reproduction, reproduce, result_of
from flyball.loop.site import Site, open_site
from flyball.project.load import load_project
from flyball.registry.versions import version
from flyball.store import Home, open_database
from tests.integration.loop.conftest import PIPELINE, SETTINGS, START, write_project

pytestmark = pytest.mark.slow  # training runs, one after another

WITH_SOURCE = SETTINGS.replace("[pipeline]\n", '[pipeline]\nsource = "rows.parquet"\n')

#: a pipeline whose own helper decides what is learnt; and one that no seed holds.
HELPED = PIPELINE.replace("from flyball import", "from helper import COLUMNS\n\nfrom flyball import").replace(
    '["x1", "x2"][: params["columns"]]', "COLUMNS"
)
UNSEEDED = PIPELINE.replace("random_state=seed", "random_state=None").replace(
    "def train(collect, run, params, seed):",
    "def train(collect, run, params, seed):\n    import numpy\n\n    numpy.random.seed(None)",
)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A project that names its data file, with one version, refitted. Not to be changed."""
    folder = tmp_path_factory.mktemp("again")
    home = Home(folder / "home")
    project = write_project(folder / "project", settings=WITH_SOURCE, pipeline=HELPED)
    (project / "helper.py").write_text('COLUMNS = ["x1", "x2"]\n')
    database = open_database(home)
    with open_site(load_project(project), home, database, lambda _: None) as site:
        assert release.retrain(site, now=START, reason="first", why="the first version").passed
        yield site
        database.close()


@pytest.fixture
def project(lived: Site, tmp_path: Path) -> Path:
    """A copy of the project, to be changed; its version is made again there."""
    return Path(shutil.copytree(lived.project.directory, tmp_path / "project"))


def again(site: Site, directory: Path) -> Reproduction:
    made = version(site.database, "late", 1)
    return reproduce(site.database, site.home, made, directory, rebuild=False, say=lambda _: None)


def test_a_version_made_again_is_equal_to_the_bit(lived: Site, project: Path) -> None:
    """Every score, the fitted model's own numbers and the compiled graph; nothing is left behind."""
    made = again(lived, project)
    assert (made.result, made.data, made.notes, dict(made.packages)) == ("bit-equal", "source", (), {})
    assert (made.rows, made.differing, made.largest) == (750, 0, 0.0)
    assert (made.dump_equal, made.graph_equal) == (True, True)
    assert list(lived.home.runs.glob(".reproduce-*")) == []


def test_what_was_written_since_is_named_and_not_used(lived: Site, project: Path) -> None:
    """The run's own recipe is what runs, its helpers too."""
    (project / "helper.py").write_text('COLUMNS = ["x2"]\n')
    (project / "pipeline.py").write_text("raise SystemExit\n")
    made = again(lived, project)
    assert made.result == "bit-equal"
    assert made.notes == ("helper.py, pipeline.py: changed since; as it was then is what ran",)


def test_a_changed_data_file_is_named_and_the_kept_rows_are_trained_on(lived: Site, project: Path) -> None:
    """Proven by their digests to be those of then."""
    rows = pd.read_parquet(project / "rows.parquet")
    rows.assign(x1=rows["x1"] + np.float32(1)).to_parquet(project / "rows.parquet", index=False)
    made = again(lived, project)
    assert (made.result, made.data) == ("bit-equal", "kept")
    was = version(lived.database, "late", 1).lineage.sources["rows.parquet"]["sha256"]
    assert made.notes[0].startswith(f"data file rows.parquet has changed: {was[:12]} then, ")
    assert made.notes[1].startswith("the source gives other rows than then (digest ")
    assert made.notes[1].endswith(" were trained on instead")


def test_a_data_file_that_is_gone_is_named(lived: Site, project: Path) -> None:
    """And the reason that the step gave."""
    (project / "rows.parquet").unlink()
    made = again(lived, project)
    assert (made.result, made.data, made.notes[0]) == ("bit-equal", "kept", "data file rows.parquet is gone")
    assert "the source cannot be read as then: step 'collect': FileNotFoundError" in made.notes[1]


def test_without_source_and_kept_rows_nothing_is_made(lived: Site, project: Path, tmp_path: Path) -> None:
    """And it is said what is missing, and what to restore."""
    (project / "rows.parquet").unlink()
    home = Home(tmp_path / "home")
    shutil.copytree(lived.home.path, home.path)
    for kept in home.runs.glob("*/collect/*/value/value.parquet"):
        kept.write_bytes(b"")
    database = open_database(home)
    with pytest.raises(Mistake, match=r"gone or changed \(collect\); restore the data"):
        again(replace(lived, home=home, database=database), project)
    database.close()


def test_a_pipeline_that_no_seed_holds_is_different(tmp_path: Path) -> None:
    """Said with how many rows and how far; the two models' numbers differ too."""
    home, folder = Home(tmp_path / "home"), tmp_path / "project"
    pipeline = UNSEEDED.replace('if params["shuffle"] else', "if True else")
    write_project(folder, settings=WITH_SOURCE.replace('"auc >= 0.55"', '"p99_ms <= 2000"'), pipeline=pipeline)
    database = open_database(home)
    with open_site(load_project(folder), home, database, lambda _: None) as site:
        release.retrain(site, now=START, reason="first", why="the first version")
        made = again(site, folder)
    assert (made.result, made.dump_equal, made.graph_equal) == ("different", False, False)
    assert made.differing == made.rows == 750
    assert made.largest > made.tolerance
    database.close()


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(name: str = "flyball", found: frozenset[str] = frozenset()) -> frozenset[str]:
    """What Flyball needs, and what that needs, as installed here."""
    if normal(name) in found:
        return found
    found |= {normal(name)}
    for line in importlib.metadata.requires(name) or []:
        item = Requirement(line)
        if item.marker is None or item.marker.evaluate({"extra": ""}):
            found = needed(item.name, found)
    return found


def test_other_packages_are_installed_again(lived: Site, project: Path) -> None:
    """In an environment of the home's own, made once; or these are used, and what differs is said."""
    made = version(lived.database, "late", 1)
    lock = {name: what for name, what in made.lineage.environment.items() if normal(name) in {"python", *needed()}}
    then = replace(made, lineage=replace(made.lineage, environment={**lock, "cronsim": "2.6"}))
    current = reproduce(lived.database, lived.home, then, project, rebuild=False, say=lambda _: None)
    assert current.packages["cronsim"] == ("2.6", made.lineage.environment["cronsim"])
    assert current.result == "bit-equal"
    said: list[str] = []
    rebuilt = reproduce(lived.database, lived.home, then, project, rebuild=True, say=said.append)
    assert (rebuilt.result, dict(rebuilt.packages)) == ("bit-equal", {})
    assert said[0].startswith(f"installing {len(lock) - 2} packages as they were, in ")  # but Python and Flyball
    (environment,) = (lived.home.path / "environments").iterdir()
    assert rebuilt.notes[0] == f"its {len(lock)} packages were installed again: {environment / 'bin' / 'python'}"
    asked = "import importlib.metadata; print(importlib.metadata.version('cronsim'))"
    found = subprocess.run([environment / "bin" / "python", "-c", asked], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "2.6"


def test_packages_that_cannot_be_had_are_named(lived: Site, project: Path) -> None:
    """With what can be asked instead."""
    made = version(lived.database, "late", 1)
    environment = {"python": made.lineage.environment["python"], "cronsim": "0.0.0.1", "flyball": "0.1.0"}
    then = replace(made, lineage=replace(made.lineage, environment=environment))
    with pytest.raises(Unavailable, match=r"packages of its lock: .*cronsim==0\.0\.0\.1.*--environment current"):
        reproduce(lived.database, lived.home, then, project, rebuild=True, say=lambda _: None)


def test_a_run_keeps_its_recipe_and_what_git_says_of_it(lived: Site) -> None:
    """Settings, pipeline and helpers as they were; no diff outside a repository."""
    kept = lived.home.runs / version(lived.database, "late", 1).lineage.run / RECIPE
    assert sorted(path.name for path in kept.iterdir()) == ["flyball.toml", "helper.py", "pipeline.py"]
    assert not (kept / CHANGES).exists()


def test_another_helper_is_another_recipe(lived: Site, project: Path, tmp_path: Path) -> None:
    """What the pipeline imports of the project's own decides the model as much as the pipeline does."""
    home = Home(tmp_path / "home")
    shutil.copytree(lived.home.path, home.path)
    (project / "helper.py").write_text('COLUMNS = ["x2"]\n')
    shutil.move(project, tmp_path / "moved")
    database = open_database(home)
    with database.write() as tx:
        tx.run("DELETE FROM project")
    with open_site(load_project(tmp_path / "moved"), home, database, lambda _: None) as site:
        assert release.retrain(site, now=START, why="another helper").verdict.occasion == "change"
    database.close()


def test_results_are_told_apart() -> None:
    """Scores decide, and the model's own numbers; the graph's bytes only where those cannot be read."""
    found = {"differing": 0, "largest": 0.0, "dump": True, "graph": None}
    assert result_of(found, 1e-5) == "bit-equal"
    assert result_of({**found, "dump": None, "graph": True}, 1e-5) == "bit-equal"
    assert result_of({**found, "dump": None, "graph": False}, 1e-5) == "equal within tolerance"
    assert result_of({**found, "dump": False}, 1e-5) == "equal within tolerance"
    assert result_of({**found, "differing": 1, "largest": 1e-6}, 1e-5) == "equal within tolerance"
    assert result_of({**found, "differing": 1, "largest": 1e-4}, 1e-5) == "different"
