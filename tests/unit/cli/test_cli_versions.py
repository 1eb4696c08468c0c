"""Verbs that read the registry: models, versions, show, diff, at, why, gate, lineage, audit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner

from flyball.cli.diff import differences
from flyball.cli.lineage import Branch
from flyball.cli.lineage import render as tree
from flyball.cli.main import main
from flyball.registry.records import Fallback
from flyball.registry.versions import label_of, version
from tests.unit.cli.conftest import Told, a_verdict, a_version, day


def answered(told: Told, *words: str) -> Any:
    result = told(*words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_models_tells_what_is_live(told: Told) -> None:
    """A model's live version, since when, and how many versions there are."""
    assert answered(told, "models") == {
        "models": [
            {
                "model": "flight-delay",
                "live": 2,
                "label": "flight-delay-20130402-22222222-lgbm",
                "since": "2013-04-02T12:00:00+00:00",
                "generation": 2,
                "shadow": [],
                "versions": 3,
            }
        ]
    }
    line = told("models").stdout.splitlines()[1]
    assert line.split() == [
        "flight-delay",
        "v2",
        "flight-delay-20130402-22222222-lgbm",
        "2013-04-02",
        "12:00Z",
        "-",
        "3",
    ]


def test_an_empty_home_says_what_would_fill_it(empty: Told) -> None:
    """Nothing yet is an answer, with the command that changes it."""
    assert empty("models").stdout == "no model has a version yet; `flyball run` trains the first\n"
    assert answered(empty, "models") == {"models": []}
    assert (
        empty("versions", "churn").stderr
        == "no model 'churn' here (there is: none yet; `flyball run` trains the first)\n"
    )


def test_versions_lists_stage_and_metrics(told: Told) -> None:
    """One line a version, oldest first, with a column for each metric."""
    found = answered(told, "versions", "flight-delay")["versions"]
    assert [(item["number"], item["stage"]) for item in found] == [(1, "archived"), (2, "production"), (3, "none")]
    assert found[0]["metrics"]["auc"] == {"value": 0.7, "low": 0.68, "high": 0.72, "rows": 6402}
    head, first, *_ = told("versions", "flight-delay").stdout.splitlines()
    assert head.split() == ["STAGE", "MADE", "AUC", "ROWS", "DATA", "TO", "REASON", "LABEL"]
    assert first.startswith("v1  archived    2013-03-01 12:00Z  0.700 [0.680, 0.720]  49,211")


@pytest.mark.parametrize("ref", ["", "@production", "@2", "@v2", "@flight-delay-20130402-22222222-lgbm"])
def test_a_version_has_many_names(told: Told, ref: str) -> None:
    """Number, stage and label name the same version; without any, the one in production."""
    assert answered(told, "show", f"flight-delay{ref}")["version"]["number"] == 2


def test_show_tells_that_the_code_was_not_what_was_committed(told: Told) -> None:
    """A dirty commit is not passed off as the code."""
    assert "commit         c0ffee, files changed since\n" in told("show", "flight-delay@2").stdout
    assert "commit         c0ffee\n" in told("show", "flight-delay@1").stdout


def test_an_unknown_version_names_those_there_are(told: Told) -> None:
    """Exit 2, and the way on."""
    result = told("show", "flight-delay@9")
    assert result.exit_code == 2
    assert "no version '9' of flight-delay (versions 1 to 3;" in result.stderr


@pytest.mark.parametrize(
    ("time", "version"),
    [("2013-03-01T12:00Z", 1), ("2013-04-02T11:59:59Z", 1), ("2013-04-02T12:00Z", 2), ("2014-01-01", 2)],
)
def test_at_tells_which_version_was_live_then(told: Told, time: str, version: int) -> None:
    """A deployment is in force from its own moment until the next one's."""
    found = answered(told, "at", "flight-delay", time)
    assert (found["version"], found["who"]) == (version, "flyball")
    assert found["why"] == f"v{version} is better beyond chance"


def test_at_now_is_what_is_live(told: Told) -> None:
    """A word for it; a time that has not come is refused, for nobody knows what will be live."""
    assert answered(told, "at", "flight-delay", "now")["version"] == 2
    ahead = told("at", "flight-delay", "2999-01-01")
    assert ahead.exit_code == 2
    assert "'2999-01-01' has not come yet; give a time up to now, or `now`" in ahead.stderr


def test_before_the_first_deployment_nothing_was_live(told: Told) -> None:
    """Exit 2, naming when the first went live."""
    result = told("at", "flight-delay", "2013-01-01")
    assert result.exit_code == 2
    assert result.stderr == (
        "no version of flight-delay was live at 2013-01-01 00:00Z; the first went live 2013-03-01 12:00Z\n"
    )


def test_why_tells_the_verdict_the_decisions_and_the_moves(told: Told) -> None:
    """From the gate's table to what made the version live and what took it off."""
    found = answered(told, "why", "flight-delay@1")
    assert found["verdict"]["results"][0]["difference"] == {"value": 0.033, "low": 0.021, "high": 0.045, "rows": 6402}
    assert [item["kind"] for item in found["decisions"]] == ["gate"]
    assert [(item["generation"], item["version"]) for item in found["moves"]] == [(1, 1), (2, 2)]
    text = told("why", "flight-delay@1").stdout
    assert "2013-03-01 12:00Z  went live, by flyball: v1 is better beyond chance" in text
    assert "2013-04-02 12:00Z  gave way to v2, by flyball" in text


def test_a_gate_that_passed_exits_0_and_one_that_refused_3(told: Told) -> None:
    """What a merge request's pipeline asks, with the table that a reviewer reads."""
    passed, refused = told("gate", "flight-delay@2"), told("gate", "flight-delay@3")
    assert (passed.exit_code, refused.exit_code) == (0, 3)
    head, heads, line, reach = passed.stdout.splitlines()
    assert head == (
        "gate passed: flight-delay, another recipe, against v1, on 6,402 held-out rows, 7 days, "
        "2013-03-24 12:00Z .. 2013-03-31 12:00Z"
    )
    assert heads.split() == ["RULE", "CANDIDATE", "CHAMPION", "DIFFERENCE"]
    assert line == "auc > champion.auc      0.694     0.661  +0.033 [+0.021, +0.045]  pass"
    assert reach == "auc > champion.auc: a true difference of 0.017 would have been told from none 4 times in 5"
    assert "REFUSED" in refused.stdout


def test_a_verdict_is_a_comment_for_a_merge_request(told: Told) -> None:
    """Headline, table, what broke and what the rows could have shown; the exit code is the verdict's all the same."""
    refused = told("gate", "flight-delay@3", "--markdown")
    assert refused.exit_code == 3
    lines = refused.stdout.splitlines()
    assert lines[0] == "### Refused: flight-delay v3 against v2"
    assert lines[4:7] == [
        "| rule | candidate | champion | difference | |",
        "|---|---:|---:|---:|---|",
        "| `auc > champion.auc` | 0.694 | 0.661 | +0.033 [+0.021, +0.045] | **no** |",
    ]
    assert lines[8].startswith("- AUC 0.694 vs champion 0.661 on the same 6,402 rows")
    assert lines[9].startswith("- auc > champion.auc: a true difference of 0.017")
    assert told("gate", "flight-delay@2", "--markdown").stdout.startswith("### Passed: flight-delay v2 against v1\n")


def test_a_slices_name_cannot_break_the_comment(told: Told) -> None:
    """It comes from the data: no cell ends early, no markup begins."""
    from flyball.cli.why import render_markdown

    verdict = a_verdict(3, day("04-02"), passed=False)
    odd = replace(verdict.results[0], rule="auc >= 0.6 where c is a|b`<img>\n# x", why="x|y")
    text = render_markdown(a_version(3, day("04-02")), replace(verdict, results=(odd,)))
    assert "| `auc >= 0.6 where c is a\\|b'&lt;img> # x` |" in text


def test_a_version_without_a_kept_verdict_is_not_said_to_have_passed(empty: Told) -> None:
    """Exit 2: there is nothing to print."""
    empty.release(a_version(1, day("03-01")))
    with empty.database.write() as tx:
        tx.run("DELETE FROM decision")
    result = empty("gate", "flight-delay@1")
    assert result.exit_code == 2
    assert "no gate's verdict is kept for flight-delay v1" in result.stderr


def test_a_degraded_version_says_so_wherever_it_is_shown(empty: Told) -> None:
    """In the data's line of `show` and `lineage`; one that is not says nothing; the record survives the database."""
    taken = Fallback(step="preprocess", run="0f3ac1d2e4b5" + "0" * 20, decided_at=day("03-01"))
    empty.release(a_version(1, day("03-01")))
    empty.release(a_version(2, day("03-02"), degraded=(taken,)))
    words = "; degraded: preprocess from run 0f3ac1d2e4b5 (2013-03-01)"
    for verb in ("show", "lineage"):
        (line,) = [line for line in empty(verb, "flight-delay@2").stdout.splitlines() if "49,211 rows" in line]
        assert line.endswith(words)
        assert "degraded" not in empty(verb, "flight-delay@1").stdout
    found = version(empty.database, "flight-delay", 2)
    assert found.lineage.degraded == (taken,)


def test_a_version_registered_by_an_earlier_release_is_not_degraded(empty: Told) -> None:
    """Its record knows no such field."""
    empty.release(a_version(1, day("03-01")))
    row = empty.database.one("SELECT record FROM version")
    assert row is not None
    record = json.loads(row["record"])
    assert record["lineage"].pop("degraded") == []
    with empty.database.write() as tx:
        tx.run("UPDATE version SET record = :record", record=json.dumps(record))
    assert version(empty.database, "flight-delay", 1).lineage.degraded == ()


@pytest.mark.parametrize(("degraded", "end"), [(False, "lgbm"), (True, "lgbm-degraded")])
def test_a_label_ends_with_what_is_to_be_known_of_the_data(degraded: bool, end: str) -> None:
    """Date, data digest, condition, and whether an earlier run's result is in it."""
    label = label_of("flight-delay", day("07-01"), "d3f9a1c2" + "0" * 56, "lgbm", degraded=degraded)
    assert label == f"flight-delay-20130701-d3f9a1c2-{end}"


def test_diff_names_what_two_versions_do_not_share(told: Told) -> None:
    """Parameters, data, code and metrics differ here; the environment is the same."""
    found = answered(told, "diff", "flight-delay@1", "2")
    assert (found["a"], found["b"]) == ("flight-delay@1", "flight-delay@2")
    assert [(item["section"], item["name"]) for item in found["differences"]] == [
        ("params", "trees"),
        ("data", "to"),
        ("data", "digest"),
        ("code", "uncommitted changes"),
        ("metrics", "auc"),
    ]
    assert told("diff", "flight-delay@1", "2", "--facts-only").stdout.endswith("the same: environment\n")


def test_a_fact_that_only_one_version_has_is_a_difference() -> None:
    """A new parameter is shown against nothing."""
    a, b = a_version(1, day("03-01")), a_version(1, day("03-01"), params={"trees": 200, "depth": 6})
    assert [(item.name, item.a, item.b) for item in differences(a, b)] == [("depth", None, 6)]
    assert differences(a, a) == []


def test_lineage_leads_from_the_data_to_who_put_it_live(told: Told) -> None:
    """A tree in the order of its life, its ancestors last; what is not known is not drawn, or said."""
    found = answered(told, "lineage", "flight-delay@3")
    assert [item["number"] for item in found["ancestors"]] == [2, 1]
    text = told("lineage", "flight-delay@2").stdout
    assert text == (
        "flight-delay v2  flight-delay-20130402-22222222-lgbm  (production)\n"
        f"├─ data       49,211 rows, 2013-01-01 12:00Z .. 2013-04-02 12:00Z, digest {'2' * 64}\n"
        "├─ run        run2, 2013-04-02 12:00Z, drift\n"
        f"│  ├─ recipe       digest {'a' * 64}, commit c0ffee, files changed since\n"
        "│  ├─ parameters   seed 7, trees 400\n"
        "│  ├─ environment  2 packages, python 3.11.7, lightgbm 4.5.0\n"
        "│  └─ hardware     Linux x86_64, 2 cores\n"
        f"├─ candidate  digest {'d' * 64}\n"
        "│  └─ metrics  auc 0.710 [0.680, 0.720]\n"
        "├─ gate       passed on 6,402 held-out rows, against v1: 1 rule holds\n"
        "├─ refit      none: the candidate itself\n"
        f"├─ v2         runs/run2/bundle, digest {'d' * 64}\n"
        "│  └─ files  its manifest is not there\n"
        "├─ live       2013-04-02 12:00Z .. now, by flyball: v2 is better beyond chance\n"
        "├─ traffic    no prediction in the lake\n"
        "└─ after      v1\n"
    )
    assert "├─ live       never\n" in told("lineage", "flight-delay@3").stdout


def test_a_label_cannot_write_to_the_terminal() -> None:
    """Names come from users' files: escape sequences in them are not sent on."""
    assert "\x1b" not in tree(a_version(1, day("03-01")), ["best"], [Branch(name="data", text="\x1b[2J")])


def test_audit_lists_who_changed_what_newest_first(told: Told) -> None:
    """Each entry: who, what, from, to, why."""
    found = answered(told, "audit")["entries"]
    assert [(item["who"], item["was"], item["becomes"]) for item in found] == [
        ("flyball", "v1", "v2"),
        ("flyball", None, "v1"),
    ]
    assert [item["id"] for item in answered(told, "audit", "--limit", "1")["entries"]] == [2]
    assert answered(told, "audit", "--model", "other")["entries"] == []


def test_audit_verify_tells_the_head_of_a_whole_chain(told: Told) -> None:
    """To be kept elsewhere; a head that is not in it is a fault, and exit 1."""
    whole = told("audit", "verify", "--json")
    assert whole.exit_code == 0
    found = orjson.loads(whole.output)
    assert found["ok"]
    assert f"head {found['head']}" in told("audit", "verify").output
    other = told("audit", "verify", "--head", f"{found['entries']}:{'0' * 64}")
    assert (other.exit_code, other.output) == (
        1,
        f"#{found['entries']} is another entry than the one whose head was given\n",
    )
    assert told("audit", "verify", "--model", "late").exit_code == 2


def test_a_folder_that_is_no_project_gets_no_home(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reading verb in some folder says what is missing, and makes nothing there."""
    folder = tmp_path_factory.mktemp("somewhere")
    monkeypatch.chdir(folder)
    monkeypatch.delenv("FLYBALL_HOME", raising=False)
    result = CliRunner().invoke(main, ["models"])
    assert result.exit_code == 2
    assert result.stderr.startswith("no project and no home here")
    assert list(folder.iterdir()) == []


def test_a_home_that_is_not_there_is_not_made_by_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped --home is refused, before the verb or after it, instead of looking like an empty one."""
    monkeypatch.chdir(tmp_path)
    for words in (["models", "--home", "hmoe"], ["--home", "hmoe", "models"]):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 2
        assert result.stderr.startswith(f"no home in {tmp_path / 'hmoe'}")
    assert list(tmp_path.iterdir()) == []


def test_the_home_may_be_named_before_the_verb(told: Told) -> None:
    """`flyball --home DIR models` and `flyball models --home DIR` are the same."""
    before = CliRunner().invoke(main, ["--home", str(told.home.path), "models"])
    assert before.stdout == told("models").stdout
