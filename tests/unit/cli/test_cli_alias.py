"""`flyball alias`: names of one's own for versions."""

from __future__ import annotations

import json

from tests.unit.cli.conftest import Told


def test_an_alias_is_a_reference_wherever_one_is_taken(told: Told) -> None:
    """And `show` and `versions` list it."""
    said = told("alias", "flight-delay@1", "best", "--why", "the audited one")
    assert said.stdout == ("flight-delay@best is v1. Audit #3.\n"), said.output
    for verb in ("show", "why", "gate", "lineage"):
        assert "v" in told(verb, "flight-delay@best").stdout, verb
    assert json.loads(told("show", "flight-delay@best", "--json").stdout)["version"]["number"] == 1
    assert json.loads(told("show", "flight-delay@1", "--json").stdout)["aliases"] == ["best"]
    assert "\naliases        best\n" in told("show", "flight-delay@1").stdout
    assert json.loads(told("versions", "flight-delay", "--json").stdout)["aliases"] == {"best": 1}
    head, first, second, _ = told("versions", "flight-delay").stdout.splitlines()
    assert head.split()[-2:] == ["ALIASES", "LABEL"]
    assert (first.split()[-2], second.split()[-2]) == ("best", "-")


def test_an_alias_is_moved_and_deleted_under_its_audit_number(told: Told) -> None:
    """To say the same again changes nothing, and says so."""
    told("alias", "flight-delay@1", "best")
    assert json.loads(told("alias", "flight-delay@production", "best", "--json").stdout) == {
        "model": "flight-delay",
        "alias": "best",
        "from": 1,
        "to": 2,
        "audit": 4,
    }
    assert told("alias", "flight-delay@2", "best").stdout == ("flight-delay@best is v2 already; nothing was changed.\n")
    gone = told("alias", "--delete", "flight-delay", "best")
    assert gone.stdout.startswith("flight-delay@best names nothing now, was v2. Audit #5.")
    assert told("show", "flight-delay@best").exit_code == 2
    audited = json.loads(told("audit", "--json").stdout)["entries"]
    assert [(item["act"], item["was"], item["becomes"]) for item in audited[:2]] == [
        ("alias", "v2 as best", None),
        ("alias", "v1 as best", "v2 as best"),
    ]


def test_an_alias_that_cannot_be_is_refused_with_exit_2(told: Told) -> None:
    """A stage's name, a model that is none, a version where a model belongs."""
    for words, said in (
        (("flight-delay@1", "production"), "'production' cannot be an alias of flight-delay: it is a stage"),
        (("churn@1", "best"), "no model 'churn' has a version here"),
        (("--delete", "churn", "best"), "no model 'churn' here"),
        (("--delete", "flight-delay@1", "best"), "write `flyball alias --delete flight-delay best`"),
        (("--delete", "flight-delay", "best"), "flight-delay has no alias 'best' here (there is: none)"),
    ):
        result = told("alias", *words)
        assert (result.exit_code, said in result.stderr) == (2, True), result.output
