"""`flyball export`, as it is typed."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner, Result

from flyball.cli.export import LATER_KINDS
from flyball.cli.main import main
from flyball.export.records import watched
from flyball.project.create import create_project
from flyball.project.load import load_project


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return create_project(tmp_path / "churn").directory


def export(project: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["export", *words, "--project", str(project)])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["prometheus", "grafana"])
def test_the_same_project_gives_the_same_bytes(project: Path, tmp_path: Path, kind: str) -> None:
    """In any folder, at any time; the second time into the same folder writes nothing."""
    for name in ("one", "two"):
        assert export(project, kind, str(tmp_path / name)).exit_code == 0
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    again = orjson.loads(export(project, kind, str(tmp_path / "one"), "--json").stdout)
    assert (again["written"], len(again["files"])) == ([], len(contents(tmp_path / "one")))


def test_what_was_written_is_told_with_the_next_command(project: Path, tmp_path: Path) -> None:
    """The token comes by a command, into the file that the configuration names, and stands in no file written here."""
    told = export(project, "prometheus", str(tmp_path / "p")).stdout
    assert f"wrote  {tmp_path}/p/flyball.rules.yml\nwrote  {tmp_path}/p/prometheus.yml\n" in told
    assert f"next: flyball token create prometheus --role viewer > {tmp_path}/p/flyball.token" in told
    assert b"credentials_file: flyball.token" in contents(tmp_path / "p")["prometheus.yml"]


def test_changed_files_are_kept_unless_forced(project: Path, tmp_path: Path) -> None:
    """Exit 2, and which."""
    export(project, "prometheus", str(tmp_path / "p"))
    (tmp_path / "p/flyball.rules.yml").write_text("groups: []\n")
    refused = export(project, "prometheus", str(tmp_path / "p"))
    assert (refused.exit_code, "other content under flyball.rules.yml" in refused.stderr) == (2, True)
    assert export(project, "prometheus", str(tmp_path / "p"), "--force").exit_code == 0
    assert b"FlyballLoopSilent" in contents(tmp_path / "p")["flyball.rules.yml"]


@pytest.mark.parametrize("kind", LATER_KINDS)
def test_kinds_to_come_say_what_there_is_instead(project: Path, kind: str) -> None:
    """Whatever is typed behind them."""
    refused = export(project, kind, "out", "--replicas", "3")
    assert refused.exit_code == 2
    assert refused.stderr == f"flyball export {kind} is not in this release; meanwhile: {LATER_KINDS[kind]}\n"


def test_limits_are_the_projects_own(project: Path) -> None:
    """The strictest p99 of the gate; else the server's patience, as far as the histogram reaches; the promise as written."""
    assert (watched(load_project(project)).p99_s, watched(load_project(project)).promise) == (0.05, None)
    settings = project / "flyball.toml"
    text = settings.read_text().replace(', "p99_ms <= 50"', "")
    settings.write_text(f'{text}\n[serving]\ntimeout_s = 20\n\n[retrain]\nperformance = "auc < 0.7"\n')
    found = watched(load_project(project))
    assert (found.p99_s, found.p99_from, found.promise) == (10.0, "[serving] timeout_s = 20", "auc < 0.7")
