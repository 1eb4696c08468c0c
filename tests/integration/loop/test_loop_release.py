"""From a wish to retrain to a version on its way, or a refusal: real steps, real MLflow, real database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flyball.engine.bundle import verify_bundle
from flyball.errors import Conflict, StepFailed
from flyball.loop import release
from flyball.loop.alerts import alerts
from flyball.loop.site import Site, open_site
from flyball.pipeline.attempts import steps_of
from flyball.pipeline.runs import find_run
from flyball.project.load import load_project
from flyball.registry import live
from flyball.registry.decisions import decisions
from flyball.registry.versions import version, versions
from flyball.rollout import book
from flyball.store import Home, moment, open_database
from tests.integration.loop.conftest import DAY, PIPELINE, START, aliases, mlflow_versions, write_project

LATER = START + 7 * DAY


def test_the_first_version_goes_live(site: Site) -> None:
    """With nobody to compare with: only the rules that always hold; live from the moment it was decided."""
    first = version(site.database, "late", 1)
    deployed = live.current(site.database, "late")
    assert deployed is not None
    assert (deployed.live, deployed.shadow, deployed.at, first.stage) == (1, (), START, "production")
    (decision,) = decisions(site.database, "late")
    assert (decision.kind, decision.subject, decision.verdict, decision.at) == ("gate", "v1", "passed", START)
    assert decision.evidence["occasion"] == "first"
    assert [rule["rule"] for rule in decision.evidence["results"]] == [
        "auc >= 0.55",
        "served as scored",
        "no feature is the target",
        "held-out rows are unseen",
        "refit agrees with what passed",
    ]
    assert decision.evidence["results"][1]["why"] == "served as scored: 750 of 750 rows"
    assert mlflow_versions(site) == {1: first.lineage.mlflow_run}
    assert aliases(site) == {"production": 1}


def test_the_same_recipe_on_newer_data_is_a_refresh(site: Site) -> None:
    """It must be no worse, and its lineage names what it replaces and the twin that faced the gate."""
    made = release.retrain(site, now=LATER, why="a week has passed")
    assert (made.version, made.passed, made.rollout, made.verdict.occasion) == (2, True, "full", "refresh")
    assert (made.verdict.champion, made.verdict.rows, made.verdict.days) == (1, 750, 6)
    second = version(site.database, "late", 2)
    assert second.lineage.parent == 1
    assert second.lineage.data_end == LATER
    assert second.lineage.data_rows == int(
        (LATER - START).days * 150 + version(site.database, "late", 1).lineage.data_rows
    )
    twin = second.lineage.gated_twin
    assert twin is not None
    verify_bundle(site.home.path / twin["bundle"], twin["digest"])
    assert twin["digest"] != second.digest
    assert LATER - 5 * DAY <= moment(twin["data_end"]) < LATER - 4.9 * DAY
    assert [item.stage for item in versions(site.database, "late")] == ["archived", "production"]


@pytest.mark.slow
def test_a_refit_ahead_of_the_verdict_is_the_same_refit(site: Site) -> None:
    """Trained beside the candidate or after it: the same bundle. Where the gate refuses, none becomes a version."""
    project = site.project
    ahead = replace(site, project=replace(project, gate=replace(project.gate, refit_ahead=True)))
    for where in (ahead, site):
        assert release.retrain(where, now=LATER, why="a week has passed").passed
    made, usual = (version(site.database, "late", number) for number in (2, 3))
    assert (made.digest, made.lineage.data_digest) == (usual.digest, usual.lineage.data_digest)
    assert made.lineage.recipe_digest == usual.lineage.recipe_digest

    refused = release.retrain(ahead, now=LATER + DAY, why="a mistake", params={"shuffle": True})
    assert (refused.passed, refused.version) == (False, 4)
    done = {step.name for step in steps_of(site.database, refused.run)}
    assert {step for step in done if step.startswith("refit.")} == {
        f"refit.{name}" for name in ("train", "deploy.bundle", "deploy.agree")
    }
    assert version(site.database, "late", 4).lineage.gated_twin is None


@pytest.mark.slow
@pytest.mark.parametrize("ahead", [False, True])
def test_a_refit_that_disagrees_with_what_passed_is_refused_by_name(site: Site, ahead: bool) -> None:
    """The gate saw another model than the one that would answer: registered, refused, the champion stays."""
    site = replace(site, project=replace(site.project, gate=replace(site.project.gate, refit_ahead=ahead)))
    before = live.history(site.database, "late")
    made = release.retrain(site, now=LATER, why="upside down", params={"turned": True, "columns": 2})
    assert (made.passed, made.version, made.rollout) == (False, 2, None)
    (broken,) = [item for item in made.verdict.results if not item.passed]
    assert broken.rule == "refit agrees with what passed"
    assert broken.why.startswith("the refitted model disagrees with the one that passed the gate: mean difference 0")
    assert find_run(site.database, made.run).status == "refused"
    twin = version(site.database, "late", 2).lineage.gated_twin
    assert twin is not None
    assert twin["digest"] != version(site.database, "late", 2).digest
    assert live.history(site.database, "late") == before


def test_a_changed_parameter_is_a_change(site: Site) -> None:
    """It must be better beyond chance: looking at both columns is."""
    made = release.retrain(site, now=LATER, why="another recipe", params={"columns": 2})
    assert (made.passed, made.verdict.occasion) == (True, "change")
    compared = made.verdict.results[0]
    assert (compared.rule, compared.passed) == ("auc > champion.auc", True)
    assert compared.difference is not None
    assert compared.difference.low > 0
    assert version(site.database, "late", 2).lineage.params["columns"] == 2


@pytest.mark.slow
def test_rows_that_training_has_seen_are_no_proof(tmp_path: Path) -> None:
    """300 older rows that the hold-out dates as new: refused, with how many of them training has seen."""
    held_out = "    return held_out\n"
    assert held_out in PIPELINE
    leaking = "    return pd.concat([_.tail(300), held_out]).assign(at=held_out['at'].max())\n"
    project = write_project(tmp_path / "project", pipeline=PIPELINE.replace(held_out, leaking))
    home = Home(tmp_path / "home")
    database = open_database(home)
    with open_site(load_project(project), home, database, lambda _: None) as site:
        made = release.retrain(site, now=START, reason="first", why="the first version")
        (line,) = [item for item in made.verdict.results if item.rule == "held-out rows are unseen"]
    database.close()
    assert (made.passed, line.passed) == (False, False)
    assert line.why.startswith(
        "300 of 1,050 held-out rows (28.6%) stand in the training rows, of which 0.0% have a twin"
    )


def test_a_worse_candidate_is_refused_and_the_champion_stays(site: Site) -> None:
    """Registered, with the reason in the decision; nothing that answers has moved."""
    before = live.history(site.database, "late")
    made = release.retrain(site, now=LATER, why="a mistake", params={"shuffle": True})
    assert (made.version, made.passed, made.rollout) == (2, False, None)
    (decision, _) = decisions(site.database, "late", kind="gate")
    assert (decision.subject, decision.verdict) == ("v2", "refused")
    assert "not better beyond chance" in decision.reason
    assert live.history(site.database, "late") == before
    assert find_run(site.database, made.run).status == "refused"
    assert [item.candidate for item in book.rollouts(site.database, "late")] == [1]
    assert version(site.database, "late", 2).lineage.gated_twin is None
    with pytest.raises(Conflict, match="has ended"):
        release.resume(site, made.run, now=LATER)


def test_a_failed_run_goes_on_after_its_mend(site: Site, tmp_path: Path) -> None:
    """What was done is kept, what it knew stays what it knew, and it is live from when it was made."""
    bucket = tmp_path / "bucket"
    with pytest.raises(StepFailed, match="no such bucket") as failed:
        release.retrain(site, now=LATER, why="another recipe", params={"columns": 2, "needs": str(bucket)})
    run = failed.value.run
    assert find_run(site.database, run).status == "failed"
    assert [(alert.name, alert.resolved_at) for alert in alerts(site.database)] == [("run_failed", None)]
    assert [item.number for item in versions(site.database, "late")] == [1]

    bucket.touch()
    made = release.resume(site, run, now=LATER + DAY)
    assert (made.run, made.version, made.passed) == (run, 2, True)
    tried = {step.name: step.attempts for step in steps_of(site.database, run)}
    assert (tried["collect"], tried["train"]) == (1, 2)
    second = version(site.database, "late", 2)
    assert (second.created_at, second.lineage.data_end) == (LATER, LATER)
    deployed = live.current(site.database, "late")
    assert deployed is not None
    assert (deployed.live, deployed.at) == (2, LATER + DAY)
    assert alerts(site.database, open_only=True) == []
