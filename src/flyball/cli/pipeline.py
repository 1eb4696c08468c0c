"""Verbs that train: run, retrain, resume; and those that look at runs: runs, logs, step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from flyball.cli.following import follow
from flyball.cli.options import as_settings, as_span, at_place, json_option, limit_option, why_option
from flyball.cli.place import Place, open_home, project_of, the_project
from flyball.cli.show import progress, put, span, table
from flyball.cli.why import render_verdict
from flyball.dashboard.reads import model_names, require_model
from flyball.errors import Mistake, NotFound, Refused
from flyball.pipeline.attempts import steps_of
from flyball.pipeline.earlier import taken_by
from flyball.pipeline.owner import is_alive, this_process
from flyball.pipeline.runs import RunRecord, find_run, runs_of
from flyball.project.load import load_steps
from flyball.project.records import Project
from flyball.project.steps import StepDeclaration
from flyball.registry.audit import local_user
from flyball.registry.codec import plain
from flyball.registry.degraded import told
from flyball.registry.records import Fallback
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


@click.command()
@click.option("--model", help="Of this model only.")
@limit_option
@at_place
@json_option
def runs(place: Place, model: str | None, limit: int, as_json: bool) -> None:
    """List runs, the latest first, with what each came to."""
    database = open_home(place)
    if model:
        require_model(database, model)
    names = [model] if model else model_names(database)
    found = [item for name in names for item in runs_of(database, name, limit=limit)]
    found = sorted(found, key=lambda item: (item.decided_at, item.id), reverse=True)[:limit]
    taken = {item.id: _taken(database, item.id) for item in found}
    document = [{**plain(item), "fallbacks": [plain(step) for step in taken[item.id]]} for item in found]
    put({"runs": document}, render_runs(found, taken), as_json=as_json)


@click.command()
@click.argument("run_id", metavar="RUN")
@click.argument("step", required=False)
@at_place
def logs(place: Place, run_id: str, step: str | None) -> None:
    """Print what the steps of RUN wrote, in their order; or one STEP alone. RUN may be the beginning of an id."""
    database = open_home(place)
    found = find_run(database, run_id)
    names = [item.name for item in steps_of(database, found.id)]
    if step is not None and step not in names:
        raise NotFound(f"run {found.id} has begun no step {step!r}; it has begun: {', '.join(names) or 'none'}")
    for name in names if step is None else [step]:
        for path in sorted((place.home.runs / found.id / name).rglob("log.txt")):
            click.echo(f"── {name}  {path}", err=True)
            click.echo(path.read_text(errors="replace"), nl=False)
    if found.error and step is None:
        click.echo(f"run {found.id} {found.status}: {found.error}", err=True)


@click.group()
def step() -> None:
    """Steps one at a time, as other engines call them."""


@step.command("run")
@click.argument("name", metavar="STEP")
@click.option("--run", "run_id", required=True, metavar="RUN", help="The run the step belongs to.")
@at_place
def step_run(place: Place, name: str, run_id: str) -> None:
    """Run one STEP of RUN, and first what it needs that is not done; their results lie in the run's folder."""
    from flyball.loop.site import open_site  # MLflow's address and the warm process: `--help` does without
    from flyball.pipeline.execute import context_of, execute
    from flyball.pipeline.graph import calls_of

    database = open_home(place)
    found = find_run(database, run_id)
    project = project_of(database, found.model)
    calls = calls_of(needed(load_steps(project), name))
    with open_site(project, place.home, database, progress) as opened:
        context = context_of(found, place.home, model=opened.names())
        made = execute(database, place.home, opened.workers, found, calls, context=context)[name]
    rows = "" if made.rows is None else f", {made.rows:,} rows"
    taken = told([item for item in _taken(database, found.id) if item.step == name])
    rows += f"; {taken}" if taken else ""
    click.echo(f"{name} is done: {place.home.runs / found.id / made.path}{rows}")


def needed(steps: Sequence[StepDeclaration], name: str) -> list[StepDeclaration]:
    """The step `name` and every step that must come before it, in the order given. Raises NotFound."""
    known = {item.name: item for item in steps}
    if name not in known:
        raise NotFound(f"no step {name!r} in this pipeline; there is: {', '.join(known)}")
    found, waiting = set(), [name]
    while waiting:
        step = waiting.pop()
        if step not in found:
            found.add(step)
            waiting.extend((*known[step].needs, *known[step].after))
    return [item for item in steps if item.name in found]


def _taken(database: Database, run: str) -> tuple[Fallback, ...]:
    return tuple(Fallback(step=item.step, run=item.run, decided_at=item.decided_at) for item in taken_by(database, run))


def render_runs(found: Sequence[RunRecord], taken: Mapping[str, Sequence[Fallback]]) -> str:
    """A table of runs. `taken`: run -> the steps for which earlier runs' results stand in."""
    return table(
        ("RUN", "MODEL", "DECIDED", "REASON", "WINDOW", "STATUS", "VERSION", "WHY"),
        [
            (
                item.id[:16],
                item.model,
                item.decided_at,
                item.reason,
                span(item.window.start, item.window.end),
                _status(item),
                None if item.version is None else f"v{item.version}",
                "; ".join(filter(None, (told(taken.get(item.id, ())), item.error or item.why))),
            )
            for item in found
        ],
        empty="no run yet; `flyball run` starts the first",
    )


def _status(run: RunRecord) -> str:
    """A run marked as running whose process is gone was cut off: `flyball resume` finishes it."""
    return "cut off" if run.status == "running" and not is_alive(run.owner) else run.status


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
