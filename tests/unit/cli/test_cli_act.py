"""Verbs that change something without a bundle: archive, rollout, token, ui; and places that are refused."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path

import orjson
import pytest
from click.testing import CliRunner

from flyball.cli.main import main
from flyball.cli.pipeline import stoppable
from flyball.pipeline.runs import create_run
from flyball.pipeline.step import Window
from flyball.project.create import create_project
from flyball.registry.audit import entries, local_user
from flyball.registry.tokens import role_of
from flyball.registry.versions import version
from tests.unit.cli.conftest import Told, day


def test_archive_puts_a_version_away_and_says_so_in_the_audit(told: Told) -> None:
    """The stage moves and the audit has who, from, to and why."""
    result = told("archive", "flight-delay@3", "--why", "it lost")
    assert result.stdout == "flight-delay v3 archived. Audit #3.\n"
    assert version(told.database, "flight-delay", 3).stage == "archived"
    newest = entries(told.database)[0]
    assert (newest.act, newest.was, newest.becomes, newest.why) == ("archive", "v3 none", "v3 archived", "it lost")


def test_an_archived_version_is_told_as_json(told: Told) -> None:
    """Model, version, the stage it had, and the audit's number."""
    document = json.loads(told("archive", "flight-delay@3", "--why", "it lost", "--json").stdout)
    assert document == {"model": "flight-delay", "version": 3, "was": "none", "audit": 3}


def test_what_a_gate_refused_goes_live_for_a_reason_only(told: Told) -> None:
    """Exit 3 with the verdict's sentence; despite it, exit 2 without a reason. Nothing is written."""
    refused = told("promote", "flight-delay@3")
    assert refused.exit_code == 3
    assert refused.stderr.startswith("v3 of flight-delay was refused by its gate: AUC 0.694 vs champion 0.661")
    silent = told("promote", "flight-delay@3", "--despite-gate")
    assert (silent.exit_code, silent.stderr[:30]) == (2, "--despite-gate goes with --why")
    assert len(entries(told.database)) == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("promote", "flight-delay@3", "--despite-gate", "--why", " "), "'--why': it is empty; say why in a few words"),
        (("freeze", "--why", ""), "'--why': it is empty"),
        (("promote", "@3"), "'@3' names no version; write MODEL@REF, where REF is a number, production,"),
        (("promote", "flight-delay@"), "'flight-delay@' names no version"),
        (("promote", "flight-delay"), "v2 of flight-delay is live already, since 2013-04-02T12:00:00"),
        (("show", "fligth-delay"), "no model 'fligth-delay' has a version here (there is: flight-delay)"),
    ],
)
def test_what_names_nothing_or_says_nothing_is_refused(told: Told, words: tuple[str, ...], said: str) -> None:
    """Exit 2, and nothing is written: a reason of blanks, a version without its model or number, what is live already."""
    result = told(*words)
    assert result.exit_code == 2
    assert said in result.stderr.replace("\n", " ")
    assert len(entries(told.database)) == 2


def test_the_local_user_is_the_systems_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable makes somebody else of a person: four eyes are two people."""
    who = local_user()
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "FLYBALL_USER"):
        monkeypatch.setenv(name, "eve")
    assert local_user() == who == pwd.getpwuid(os.getuid()).pw_name


def test_what_is_live_cannot_be_archived(told: Told) -> None:
    """Exit 2, nothing changed, and the mend."""
    result = told("archive", "flight-delay")
    assert result.exit_code == 2
    assert result.stderr == "v2 of flight-delay is production; promote another version first\n"
    assert len(entries(told.database)) == 2


def test_rollout_tells_where_the_candidate_stands(told: Told) -> None:
    """None yet, then the one that was written."""
    assert told("rollout", "flight-delay").stdout.startswith("flight-delay has had no rollout yet")
    with told.database.write() as tx:
        tx.run(
            "INSERT INTO rollout (model, candidate, champion, status, started_at, moved_at)"
            " VALUES ('flight-delay', 3, 2, 'shadow', '2013-11-11T12:00:00Z', '2013-11-11T12:00:00Z')"
        )
    found = json.loads(told("rollout", "flight-delay", "status", "--json").stdout)["rollout"]
    assert (found["candidate"], found["champion"], found["status"]) == (3, 2, "shadow")
    assert told("rollout", "flight-delay", "pause").exit_code == 2


def test_a_token_is_shown_once_and_works(told: Told) -> None:
    """What is printed is the token; the database can tell its role."""
    token = told("token", "create", "ci", "--role", "operator").stdout.strip()
    assert role_of(told.database, token) == "operator"
    again = told("token", "create", "ci", "--role", "viewer")
    assert (again.exit_code, again.stdout) == (2, "")


def test_a_clients_token_names_its_scopes_and_its_model(told: Told) -> None:
    """Listed as made; revoked, it is gone; a model nobody knows is refused."""
    made = told("token", "create", "app", "--role", "client", "--scope", "predict", "--model", "flight-delay", "--json")
    assert json.loads(made.stdout)["scopes"] == ["predict"]
    assert told("token", "list").stdout.splitlines()[1].split() == ["app", "client", "predict", "flight-delay"]
    assert told("token", "revoke", "app").stdout == "app's token is revoked\n"
    assert json.loads(told("token", "list", "--json").stdout) == {"tokens": []}
    assert told("token", "create", "b", "--role", "client", "--scope", "predict", "--model", "no").exit_code == 2


def test_ui_prints_the_same_address_every_time(told: Told) -> None:
    """One token made on first use, kept in the home; without `up` it says that nothing listens."""
    first, second = told("ui"), told("ui")
    assert first.stdout == second.stdout
    assert first.stdout.startswith("http://127.0.0.1:8000/?token=flyball_")
    assert first.stderr.startswith("`flyball up` does not run in this home")


def test_a_retrain_with_an_unknown_parameter_is_refused(tmp_path: Path) -> None:
    """A parameter no step would read names the nearest one there is."""
    project = tmp_path / "churn"
    create_project(project, "churn")
    settings = project / "flyball.toml"
    settings.write_text(settings.read_text() + "\n[pipeline.params]\nstrength = 1.0\n")
    result = CliRunner().invoke(main, ["run", "--project", str(project), "--param", "strenght=2"])
    assert result.exit_code == 2
    assert "--param strenght: not in [pipeline] params of" in result.stderr
    assert "did you mean 'strength'?" in result.stderr


def test_a_model_without_a_project_cannot_be_retrained(told: Told) -> None:
    """Exit 2: there is no pipeline to run."""
    result = told("retrain", "flight-delay", "--why", "drift")
    assert result.exit_code == 2
    assert result.stderr == "no project in this home makes flight-delay; `flyball run` in its folder adds it\n"


def test_a_project_folder_without_a_project_is_refused(tmp_path: Path) -> None:
    """`--project` is taken at its word."""
    result = CliRunner().invoke(main, ["check", "--project", str(tmp_path)])
    assert result.exit_code == 2
    assert result.stderr == f"--project {tmp_path}: no flyball.toml there; `flyball init {tmp_path}` writes one\n"


def test_projects_with_homes_of_their_own_do_not_go_up_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the homes would silently stay dark: the caller names which."""
    monkeypatch.delenv("FLYBALL_HOME", raising=False)
    for name in ("a", "b"):
        create_project(tmp_path / name, name)
    result = CliRunner().invoke(main, ["up", str(tmp_path / "a"), str(tmp_path / "b")])
    assert result.exit_code == 2
    assert "name the one they shall share with --home DIR" in result.stderr


def test_init_writes_a_project_that_check_passes(tmp_path: Path) -> None:
    """And `check` says in which order it runs."""
    assert CliRunner().invoke(main, ["init", str(tmp_path / "churn")]).exit_code == 0
    result = CliRunner().invoke(main, ["check", "--project", str(tmp_path / "churn")])
    assert result.exit_code == 0
    assert "pipeline  collect → train → validate" in result.stdout


def test_check_tells_every_finding_with_its_line(tmp_path: Path) -> None:
    """Exit 2; as JSON the findings are records."""
    create_project(tmp_path / "churn", "churn")
    settings = tmp_path / "churn" / "flyball.toml"
    settings.write_text(settings.read_text().replace("auc > champion.auc", "auc > champion.acu"))
    plain = CliRunner().invoke(main, ["check", "--project", str(tmp_path / "churn")])
    assert (plain.exit_code, plain.stdout) == (2, "")
    assert plain.stderr.startswith("flyball.toml:")
    found = CliRunner().invoke(main, ["check", "--project", str(tmp_path / "churn"), "--json"])
    assert found.exit_code == 2
    document = json.loads(found.stdout)
    assert (document["ok"], document["findings"][0]["file"]) == (False, "flyball.toml")


def test_runs_of_an_empty_home_say_how_to_start_one(empty: Told) -> None:
    """Nothing yet, and the command that changes it."""
    assert empty("runs").stdout == "no run yet; `flyball run` starts the first\n"
    assert empty("resume", "01").exit_code == 2
    assert empty("logs", "01").stderr == "no run '01'; `flyball runs` lists them\n"


def test_a_freeze_is_told_with_what_ends_it(told: Told) -> None:
    """And lifted; each is an entry of the audit."""
    text = told("freeze", "flight-delay", "--why", "a fair").output
    assert text.startswith("in force: flight-delay frozen by ")
    assert text.endswith(", until `flyball freeze flight-delay --lift`: a fair\n")
    everything = orjson.loads(told("freeze", "--until", "2999-01-01", "--json").output)
    assert [item["model"] for item in everything["holds"]] == ["flight-delay", ""]
    lifted = orjson.loads(told("freeze", "flight-delay", "--lift", "--json").output)
    assert [item["why"] for item in lifted["lifted"]] == ["a fair"]
    assert [item["model"] for item in lifted["holds"]] == [""]
    assert "nothing held flight-delay" in told("freeze", "flight-delay", "--lift").output
    acts = [item["act"] for item in orjson.loads(told("audit", "--json").output)["entries"]]
    assert acts[:3] == ["lift", "freeze", "freeze"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nobody",), "nobody"),
        (("flight-delay", "--until", "2013-01-01"), "is over; give a later one"),
        (("flight-delay", "--until", "2999-01-01", "--lift"), "goes without --lift"),
    ],
)
def test_a_freeze_that_means_nothing_is_refused(told: Told, words: tuple[str, ...], said: str) -> None:
    """Nothing is written."""
    refused = told("freeze", *words)
    assert refused.exit_code in (1, 2)
    assert said in refused.stderr
    assert orjson.loads(told("freeze", "flight-delay", "--lift", "--json").output)["lifted"] == []


def test_ctrl_c_tells_how_the_run_goes_on(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    """The run that this process was at; nothing where there is none."""
    for begun in (False, True):
        if begun:
            with told.database.write() as tx:
                window = Window(start=None, end=day("05-01"))
                named = {"project": "flight-delay", "model": "flight-delay", "reason": "manual", "why": "by hand"}
                run = create_run(
                    tx, **named, now=day("05-01"), window=window, params={}, seed=1, id="0123456789abcdef0"
                )
        with pytest.raises(KeyboardInterrupt), stoppable(told.database, "flight-delay"):
            raise KeyboardInterrupt
        said = capsys.readouterr().err
        assert ("`flyball resume 0123456789abcdef` goes on" in said) is begun
    assert run.status == "running"
