"""Verbs that train: run, retrain, resume."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from flyball.cli.following import follow
from flyball.cli.options import as_settings, as_span, at_place, json_option, why_option
from flyball.cli.place import Place, open_home, project_of, the_project
from flyball.cli.show import progress, put
from flyball.cli.why import render_verdict
from flyball.errors import Mistake, Refused
from flyball.pipeline.owner import this_process
from flyball.pipeline.runs import find_run, runs_of
from flyball.project.records import Project
from flyball.registry.audit import local_user
from flyball.registry.codec import plain
from flyball.store import Database, Home, utcnow

if TYPE_CHECKING:
    from flyball.loop.attempt import Release

Span = tuple[datetime | None, datetime | None]

_WINDOW = click.option(
    "--window",
    metavar="A..B",
    callback=as_span,
    help="Event times to train on, A <= t < B; either may be left out. Else all that is known now.",
)
_PARAMS = click.option(
    "--param", "params", multiple=True, metavar="NAME=VALUE", callback=as_settings, help="Instead of [pipeline] params."
)
_FAIL = click.option("--fail-on-refusal", is_flag=True, help="Exit 3 when the gate refuses.")


@click.command()
@_WINDOW
@_PARAMS
@_FAIL
@click.option("--why", default="flyball run", metavar="TEXT", help="The reason, kept with the run.")
@at_place
@json_option
def run(place: Place, window: Span, params: dict[str, Any], fail_on_refusal: bool, why: str, as_json: bool) -> None:
    """Run the pipeline of this project: train, compile, judge against the champion, then release or refuse.

    A refused candidate is a finished run, exit 0; with --fail-on-refusal exit 3.
    """
    project = the_project(place)
    release = _train(open_home(place, make=True), place.home, project, window=window, params=params, why=why)
    _tell(release, as_json=as_json, fail_on_refusal=fail_on_refusal)


@click.command()
@click.argument("model")
@why_option
@_WINDOW
@_PARAMS
@_FAIL
@at_place
@json_option
def retrain(
    place: Place, model: str, why: str, window: Span, params: dict[str, Any], fail_on_refusal: bool, as_json: bool
) -> None:
    """Train MODEL anew, now, in this process; its gate and rollout decide as always."""
    database = open_home(place)
    release = _train(database, place.home, project_of(database, model), window=window, params=params, why=why)
    _tell(release, as_json=as_json, fail_on_refusal=fail_on_refusal)


@click.command()
@click.argument("run_id", metavar="RUN")
@_FAIL
@at_place
@json_option
def resume(place: Place, run_id: str, fail_on_refusal: bool, as_json: bool) -> None:
    """Finish a run that was cut off, or that failed: steps that are done are not run again."""
    from flyball.loop import release, site  # onnxruntime: `--help` does without

    database = open_home(place)
    found = find_run(database, run_id)
    with (
        stoppable(database, found.model),
        site.open_site(project_of(database, found.model), place.home, database, progress) as opened,
    ):
        done = release.resume(opened, found.id, now=utcnow())
        follow(opened)
    _tell(done, as_json=as_json, fail_on_refusal=fail_on_refusal)


def render_release(release: Release) -> str:
    """What a run came to: the version, the verdict, what happens next and how to look closer."""
    verdict, name = release.verdict, f"{release.verdict.model}@{release.version}"
    becomes = {
        "full": "live",
        "shadow": f"shadow of v{verdict.champion}: it scores the same rows until its outcomes decide",
        "queued": "waiting for the rollout before it, or for the end of a freeze",
        "approval": f"waiting for another person: `flyball approve {name}`",
        "failed": f"not live: it cannot answer; `flyball decisions {verdict.model}` says why",
        None: f"refused; v{verdict.champion} stays" if verdict.champion else "refused; nothing is live",
    }[release.rollout]
    return (
        f"{verdict.model} v{release.version} → {becomes}\n\n{render_verdict(verdict)}\n\n"
        f"run {release.run}, {release.seconds:.1f} s. `flyball why {name}` tells why, `flyball logs {release.run[:16]}` how."
    )


def _train(
    database: Database, home: Home, project: Project, *, window: Span, params: Mapping[str, Any], why: str
) -> Release:
    from flyball.loop import release, site  # onnxruntime: `--help` does without

    _check_params(project, params)
    progress(f"{project.model.name}: the pipeline runs; its steps' logs lie in {home.runs}")
    start, end = window
    with stoppable(database, project.model.name), site.open_site(project, home, database, progress) as opened:
        done = release.retrain(
            opened, now=utcnow(), why=why, window_start=start, window_end=end, params=params, who=local_user()
        )
        follow(opened)
        return done


@contextmanager
def stoppable(database: Database, model: str) -> Iterator[None]:
    """Ctrl-C ends the run's steps; a person is told how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        me = this_process()
        mine = [run.id for run in runs_of(database, model, limit=5) if run.status == "running" and run.owner == me]
        if mine:
            click.echo(
                f"\nstopped; the steps that are done are kept: `flyball resume {mine[0][:16]}` goes on", err=True
            )
        raise


def _check_params(project: Project, params: Mapping[str, Any]) -> None:
    """A parameter that no recipe declares would be ignored by every step: refused."""
    known = list(project.pipeline.params)
    for name in params:
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there is: {', '.join(known) or 'none'}"
            raise Mistake(f"--param {name}: not in [pipeline] params of {project.directory / 'flyball.toml'}; {hint}")


def _tell(release: Release, *, as_json: bool, fail_on_refusal: bool) -> None:
    put({**plain(release)}, render_release(release), as_json=as_json)
    if fail_on_refusal and not release.passed:
        raise Refused(f"{release.verdict.model} v{release.version} was refused by its gate")
