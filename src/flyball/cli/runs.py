"""Verbs that look at runs, and run a step of one: runs, logs, step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

from flyball.cli.options import at_place, json_option, limit_option
from flyball.cli.place import Place, open_home, project_of
from flyball.cli.show import progress, put, span, table
from flyball.dashboard.reads import model_names, require_model
from flyball.errors import NotFound
from flyball.pipeline.attempts import steps_of
from flyball.pipeline.earlier import taken_by
from flyball.pipeline.owner import is_alive
from flyball.pipeline.runs import RunRecord, find_run, runs_of
from flyball.project.load import load_steps
from flyball.project.steps import StepDeclaration
from flyball.registry.codec import plain
from flyball.registry.degraded import told
from flyball.registry.records import Fallback
from flyball.store import Database


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
