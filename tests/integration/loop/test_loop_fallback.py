"""A version made of an earlier run's result, because a step failed: it says so wherever it is looked at."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from flyball.cli.main import main
from flyball.errors import ProjectError, StepFailed
from flyball.loop import release
from flyball.loop.alerts import alerts
from flyball.loop.site import Site, open_site
from flyball.pipeline.runs import find_run, runs_of
from flyball.project.load import load_project
from flyball.registry.decisions import decisions
from flyball.registry.records import Fallback
from flyball.registry.versions import find, version, versions
from flyball.store import Home, open_database
from tests.integration.loop.conftest import DAY, PIPELINE, START, write_project

pytestmark = pytest.mark.slow  # training runs, one after another

#: two days later: of the five that are held out, three are left in what an earlier run collected.
LATER = START + 2 * DAY

#: `preprocess` fails while there is a file `broken` beside the pipeline.
PREPROCESS = """
@step(retries=1, backoff_s=0, on_failure="use_last_good")
def preprocess(collect):
    if (Path(__file__).parent / "broken").exists():
        raise OSError("the weather does not answer")
    return collect


@step
def train("""


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The project with a step that may fall back, and v1 live since START. Not to be changed: `site` is a copy of it."""
    folder = tmp_path_factory.mktemp("fallback")
    pipeline = PIPELINE.replace("\n@step\ndef train(", PREPROCESS).replace("(collect, run", "(preprocess, run")
    pipeline = pipeline.replace("split(collect,", "split(preprocess,")
    home = Home(folder / "home")
    database = open_database(home)
    project = load_project(write_project(folder / "project", pipeline=pipeline))
    with open_site(project, home, database, lambda _: None) as site:
        assert release.retrain(site, now=START, reason="first", why="the first version").passed
        database.close()
        yield site


@pytest.fixture
def broken(lived: Site) -> Iterator[Path]:
    """The file that breaks the step."""
    file = lived.project.directory / "broken"
    file.touch()
    yield file
    file.unlink(missing_ok=True)


@pytest.fixture
def site(lived: Site, tmp_path: Path) -> Iterator[Site]:
    home = Home(tmp_path / "home")
    shutil.copytree(lived.home.path, home.path)
    database = open_database(home)
    yield replace(
        lived,
        home=home,
        database=database,
        tracking_uri=f"sqlite:///{home.mlflow / 'mlflow.db'}",
        artifact_location=str(home.mlflow / "artifacts"),
    )
    database.close()


def said(site: Site, *words: str, code: int = 0) -> str:
    """What the command line prints."""
    done = CliRunner().invoke(main, [*words, "--home", str(site.home.path)])
    assert done.exit_code == code, done.output
    return done.output


def tags(site: Site, run: str) -> dict[str, str]:
    """MLflow's tags of a run."""
    with closing(sqlite3.connect(site.home.mlflow / "mlflow.db")) as mlflow:
        return dict(mlflow.execute("SELECT key, value FROM tags WHERE run_uuid = ?", [run]).fetchall())


def test_a_version_made_of_a_fallback_says_so_everywhere(site: Site, broken: Path) -> None:
    """Lineage, label, verdict, MLflow, alert and every command; the gate's rules are the same. The next whole run ends it."""
    first = version(site.database, "late", 1)
    made = release.retrain(site, now=LATER, why="time has passed")
    assert (made.passed, made.rollout, made.verdict.occasion) == (True, "full", "refresh")
    second = version(site.database, "late", 2)
    assert second.lineage.degraded == (Fallback(step="preprocess", run=first.lineage.run, decided_at=START),)
    assert second.lineage.data_digest == first.lineage.data_digest
    assert second.label == f"late-20130410-{second.lineage.data_digest[:8]}-logisticregression-degraded"
    assert find(site.database, "late", second.label) == second
    assert (site.home.runs / made.run / "preprocess" / "3" / "value" / "value.parquet").stat().st_nlink == 1

    words = f"degraded: preprocess from run {first.lineage.run[:12]} (2013-04-08)"
    assert made.verdict.caveat == words
    assert decisions(site.database, "late", kind="gate")[0].reason.startswith("passed: AUC 0.")
    assert f"not worse by 0.05 ({words})" in decisions(site.database, "late", kind="gate")[0].reason
    assert [item.rule for item in made.verdict.results][:2] == ["auc >= champion.auc - 0.05", "auc >= 0.55"]
    for shown in (
        ("show", "late@2"),
        ("lineage", "late@2"),
        ("why", "late@2"),
        ("gate", "late@2"),
        ("gate", "late@2", "--markdown"),
        ("gate", "late@2", "--json"),
        ("why", "late@2", "--json"),
        ("runs",),
    ):
        assert words in said(site, *shown), shown
    taken = {"step": "preprocess", "run": first.lineage.run, "decided_at": "2013-04-08T05:00:00+00:00"}
    for verb in ("show", "lineage"):
        assert json.loads(said(site, verb, "late@2", "--json"))["version"]["lineage"]["degraded"] == [taken]
    runs = json.loads(said(site, "runs", "--json"))["runs"]
    assert [item["fallbacks"] for item in runs] == [[taken], []]
    assert f"stands in, from run {first.lineage.run}" in said(site, "logs", made.run, "preprocess")
    assert second.lineage.mlflow_run is not None
    assert tags(site, second.lineage.mlflow_run)["flyball.degraded"] == words.removeprefix("degraded: ")

    (alert,) = alerts(site.database, open_only=True)
    assert (alert.name, alert.severity, alert.since) == ("degraded", "warning", LATER)
    assert alert.title.startswith(f"late: v2 is {words}; ")
    assert alert.evidence == {"run": made.run, "version": 2, "fallbacks": [taken]}
    broken.unlink()
    assert release.retrain(site, now=LATER + DAY, why="mended").passed
    third = version(site.database, "late", 3)
    assert (third.lineage.degraded, third.label.endswith("-degraded")) == ((), False)
    assert third.lineage.mlflow_run is not None
    assert "flyball.degraded" not in tags(site, third.lineage.mlflow_run)
    assert alerts(site.database, open_only=True) == []


def test_a_run_that_dies_right_after_its_fallback_goes_on_with_it(site: Site, broken: Path) -> None:
    """Cut off before it is recorded; by the time it is resumed the step would work again, and the run keeps what it had."""

    def cut_off(passed: str) -> None:
        if passed == "fallback-taken":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        release.retrain(site, now=LATER, why="time has passed", checkpoint=cut_off)
    broken.unlink()
    made = release.resume(site, runs_of(site.database, "late")[0].id, now=LATER + DAY)
    assert made.passed
    assert [item.step for item in version(site.database, "late", 2).lineage.degraded] == ["preprocess"]


def test_without_a_last_good_result_the_run_fails_as_ever(site: Site, broken: Path) -> None:
    """The result of the only run before is damaged: no version, an alert that says what was looked for."""
    first = version(site.database, "late", 1)
    (site.home.runs / first.lineage.run / "preprocess" / "1" / "value" / "value.parquet").write_bytes(b"torn")
    with pytest.raises(
        StepFailed, match=r"no result may stand in \(1 earlier: 1 damaged or gone from disk\)"
    ) as failed:
        release.retrain(site, now=LATER, why="time has passed")
    assert find_run(site.database, failed.value.run).status == "failed"
    assert len(versions(site.database, "late")) == 1
    assert [item.name for item in alerts(site.database, open_only=True)] == ["run_failed"]


def test_a_fallback_written_where_none_can_be_is_refused_by_the_run_too(site: Site) -> None:
    """The pipeline was written anew since it was checked: nothing begins."""
    file = site.project.directory / "pipeline.py"
    written = file.read_text()
    file.write_text(written.replace("@step\ndef validate", '@step(on_failure="use_last_good")\ndef validate'))
    try:
        with pytest.raises(ProjectError, match=r"pipeline\.py:\d+: step validate: on_failure .* for held-out rows"):
            release.retrain(site, now=LATER, why="edited")
    finally:
        file.write_text(written)
