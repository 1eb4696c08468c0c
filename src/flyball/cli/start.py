"""Verbs to begin with: init, demo, check."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

from flyball.cli.options import at_place, json_option
from flyball.cli.place import Place, the_project
from flyball.cli.show import put
from flyball.errors import ProjectError
from flyball.project.load import load_steps
from flyball.project.records import Project
from flyball.project.steps import StepDeclaration, order


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--name", help="The model's name; else the folder's.")
def init(directory: Path, name: str | None) -> None:
    """Write a new project into DIR: flyball.toml and pipeline.py with a small data set, ready to run."""
    from flyball.project.create import create_project  # the template is read only here

    create_project(directory, name)
    click.echo(f"A project that runs as it stands is in {directory}. Next:\n")
    click.echo(f"  cd {directory}\n  flyball run    # train, judge, release\n  flyball up     # serve, watch, act")


@click.command()
@click.option("--days", type=click.IntRange(1), help="Live only this many days of the year.")
@click.option("--late-minutes", type=click.IntRange(1), default=15, show_default=True, help="What counts as late.")
@click.option(
    "--airport", "airports", type=click.Choice(["EWR", "JFK", "LGA"]), multiple=True, help="Of these airports only."
)
@at_place
@json_option
def demo(place: Place, days: int | None, late_minutes: int, airports: tuple[str, ...], as_json: bool) -> None:
    """Live a year of flights from New York, end to end: train, serve, drift, retrain, refuse, promote.

    Ends with the story and a live dashboard; with --json, or without a terminal, prints a summary and stops.
    """
    # The demo stands on a higher floor: it is called by name.
    live_a_year = import_module("flyball.demo.main").demo
    live_a_year(
        days=days,
        json_output=as_json,
        home=place.home.path if place.named else None,
        late_minutes=late_minutes,
        airports=" ".join(airports) or "EWR JFK LGA",
    )


@click.command()
@at_place
@json_option
def check(place: Place, as_json: bool) -> None:
    """Validate flyball.toml and pipeline.py without running them; exit 2 with `file:line: message` for each finding."""
    try:
        project = the_project(place)
        steps = load_steps(project)
    except ProjectError as error:
        if not as_json:
            raise
        put({"ok": False, "findings": list(error.findings)}, "", as_json=True)
        raise click.exceptions.Exit(error.exit_code) from error
    put({"ok": True, "findings": []}, render(project, steps), as_json=as_json)


def render(project: Project, steps: tuple[StepDeclaration, ...]) -> str:
    """One line a part: what the project declares, in the order it runs."""
    pipeline = project.pipeline
    if project.model.adopted:
        return f"{_about(project)}pipeline  none: versions come by `flyball adopt`"
    ordered = order(steps, model=pipeline.model, holdout=pipeline.holdout)
    return f"{_about(project)}pipeline  {' → '.join(step.name for step in ordered)}"


def _about(project: Project) -> str:
    model = project.model
    return (
        f"{project.directory / 'flyball.toml'} is fine\nmodel     {model.name}, {model.task}, target {model.target}\n"
    )
