"""`flyball export KIND`: files for other tools. Parses, reads the projects, writes what the room `export` makes of them."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flyball.cli.options import FOLDER, as_time, at_place, json_option
from flyball.cli.place import Place, open_home
from flyball.cli.show import put
from flyball.errors import Mistake, NotYet, ProjectError

if TYPE_CHECKING:
    from pandas import DataFrame

    from flyball.engine.contract import Contract
    from flyball.project.records import Project

#: kind -> what there is instead in this release.
LATER_KINDS: dict[str, str] = {
    **dict.fromkeys(
        ("docker", "compose"), "an image needs Python, `pip install flyball` and `flyball up --host 0.0.0.0`"
    ),
    **dict.fromkeys(
        ("kubernetes", "sagemaker", "vertex", "ecs", "cloudrun"),
        "`flyball serve` answers their health routes and honours PORT and AIP_HTTP_PORT in a container of your own",
    ),
    **dict.fromkeys(
        ("airflow", "kubeflow", "prefect", "jenkins", "github", "cloud-scheduler"),
        "have it call `flyball run`, which exits 3 with --fail-on-refusal when the gate refuses",
    ),
}

_FORCE = click.option("--force", is_flag=True, help="Write over files that differ.")


class Kinds(click.Group):
    """The kinds of this release as commands; the others say what there is instead."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _later(cmd_name) if cmd_name in LATER_KINDS else super().get_command(ctx, cmd_name)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Not in this release"):
            formatter.write_text(", ".join(LATER_KINDS))


def _later(kind: str) -> click.Command:
    def refuse(words: tuple[str, ...]) -> None:
        del words
        raise NotYet(f"flyball export {kind} is not in this release; meanwhile: {LATER_KINDS[kind]}")

    words = click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)
    return click.Command(kind, callback=refuse, params=[words], context_settings={"ignore_unknown_options": True})


@click.group(cls=Kinds, subcommand_metavar="KIND ...")
def export() -> None:
    """Files for other tools, of the project here and of all that its home knows: the same projects, the same bytes."""


@export.command()
@click.argument("directory", metavar="[DIR]", default="prometheus", type=FOLDER)
@click.option(
    "--serving",
    multiple=True,
    default=("http://127.0.0.1:8080",),
    show_default=True,
    metavar="URL",
    help="A data plane; may be repeated.",
)
@click.option("--control", default="http://127.0.0.1:8000", show_default=True, metavar="URL", help="The control plane.")
@click.option(
    "--alertmanager",
    "alertmanagers",
    multiple=True,
    default=("127.0.0.1:9093",),
    show_default=True,
    metavar="HOST:PORT",
    help="Who is told; may be repeated.",
)
@click.option(
    "--interval",
    type=click.IntRange(1, 300),
    default=15,
    show_default=True,
    metavar="SECONDS",
    help="Between two scrapes, and two looks at the rules; their spans are multiples of it.",
)
@_FORCE
@at_place
@json_option
def prometheus(
    place: Place,
    directory: Path,
    serving: tuple[str, ...],
    control: str,
    alertmanagers: tuple[str, ...],
    interval: int,
    force: bool,
    as_json: bool,
) -> None:
    """Scrape configuration, recording and alerting rules for Prometheus, in DIR (else ./prometheus)."""
    from flyball.export.prometheus import CONFIG, TOKEN, prometheus_files  # YAML: `--help` does without
    from flyball.export.records import Scrape, watched

    scrape = Scrape(serving=serving, control=control, alertmanagers=alertmanagers, interval_s=interval)
    files = prometheus_files([watched(item) for item in _projects(place)], scrape)
    there = shlex.quote(str(directory))
    follow = (
        f"flyball token create prometheus --role viewer > {there}/{TOKEN} && promtool check config {there}/{CONFIG}"
    )
    _write(directory, files, force=force, follow=follow, as_json=as_json)


@export.command()
@click.argument("directory", metavar="[DIR]", default="grafana", type=FOLDER)
@click.option(
    "--prometheus",
    "url",
    default="http://127.0.0.1:9090",
    show_default=True,
    metavar="URL",
    help="Where Grafana finds Prometheus.",
)
@_FORCE
@at_place
@json_option
def grafana(place: Place, directory: Path, url: str, force: bool, as_json: bool) -> None:
    """Two dashboards and their provisioning for Grafana, in DIR (else ./grafana): the fleet, and one model."""
    from flyball.export.grafana import grafana_files  # YAML: `--help` does without
    from flyball.export.records import watched

    files = grafana_files([watched(item) for item in _projects(place)], url)
    follow = f"cp -r {shlex.quote(str(directory))}/. /etc/grafana/provisioning/"
    _write(directory, files, force=force, follow=follow, as_json=as_json)


@export.command()
@click.argument("model", metavar="MODEL[@REF]")
@click.argument("directory", metavar="[DIR]", default="evidently", type=FOLDER)
@click.option("--date", "day", required=True, metavar="D", callback=as_time, help="The day, in UTC: 2013-07-01.")
@_FORCE
@at_place
@json_option
def evidently(place: Place, model: str, directory: Path, day: datetime, force: bool, as_json: bool) -> None:
    """Evidently's report (HTML and JSON) of a day's rows against those the version was trained on; else the live version."""
    from flyball.export.evidently import evidently_files  # pandas: `--help` does without

    name, contract, asked, trained = _day(place, model, day)
    files = evidently_files(name, contract, asked, trained)
    _write(directory, files, force=force, follow=f"open {directory / name}.html in a browser", as_json=as_json)


@export.command()
@click.argument("model", metavar="MODEL[@REF]")
@click.argument("directory", metavar="[DIR]", default="whylogs", type=FOLDER)
@click.option("--date", "day", required=True, metavar="D", callback=as_time, help="The day, in UTC: 2013-07-01.")
@_FORCE
@at_place
@json_option
def whylogs(place: Place, model: str, directory: Path, day: datetime, force: bool, as_json: bool) -> None:
    """whylogs' profiles of a day's rows and of those the version was trained on; else the live version."""
    from flyball.export.whylogs import whylogs_files  # pandas: `--help` does without

    name, contract, asked, trained = _day(place, model, day)
    files = whylogs_files(name, contract, asked, trained)
    follow = f"whylogs.core.DatasetProfileView.read({str(directory / name) + '.bin'!r})"
    _write(directory, files, force=force, follow=follow, as_json=as_json)


def _day(place: Place, model: str, day: datetime) -> tuple[str, Contract, DataFrame, DataFrame]:
    """(files' name, contract, the day's live rows, the version's training rows)"""
    import pandas as pd

    from flyball.engine.bundle import read_contract
    from flyball.journal import lake
    from flyball.loop.training_rows import training_rows
    from flyball.registry.versions import find, parse_reference

    database = open_home(place)
    version = find(database, *parse_reference(model if "@" in model else f"{model}@production"))
    contract = read_contract(place.home.path / version.bundle)
    start = day.replace(hour=0, minute=0, second=0, microsecond=0)
    found = lake.predictions(place.home, version.model, start, start + timedelta(days=1))
    if not found.num_rows:
        raise Mistake(
            f"{version.model} answered nothing on {start:%Y-%m-%d} UTC that the lake knows; "
            f"`flyball monitor {version.model}` lists the days it does"
        )
    rows = found.to_pandas()["features"].map(dict).tolist()
    names = [item.name for item in contract.features]
    unkept = [name for name in names if not any(name in row for row in rows)]
    if unkept:
        raise Mistake(
            f"the lake holds no {', '.join(unkept)} of {version.model} on {start:%Y-%m-%d}: [columns] hashes or drops it, "
            "or another version without it was live; name the version that answered, MODEL@REF"
        )
    asked = pd.DataFrame([[row.get(name) for name in names] for row in rows], columns=names)
    trained = training_rows(database, place.home, version, contract)
    return f"{version.model}-v{version.number}-{start:%Y-%m-%d}", contract, asked, trained


def _projects(place: Place) -> list[Project]:
    """The place's project, and those its home knows, by name. One of the home that cannot be read is told and left out."""
    from flyball.project.load import load_project
    from flyball.registry.projects import projects

    own = None if place.project is None else load_project(place.project)
    found = {} if own is None else {own.model.name: own}
    if place.home.path.is_dir():
        for name, folder in projects(open_home(place)).items():
            try:
                found.setdefault(name, load_project(folder))
            except ProjectError as error:
                click.echo(f"{name} is left out, its project cannot be read:\n{error}", err=True)
    if not found:
        raise Mistake(
            f"no project here: no flyball.toml from {Path.cwd()} upward, and {place.home.path} knows none; "
            "`flyball init DIR` writes one, --project and --home name others"
        )
    return [found[name] for name in sorted(found)]


def _write(directory: Path, files: Mapping[str, str | bytes], *, force: bool, follow: str, as_json: bool) -> None:
    from flyball.export.writing import write_files

    written = set(write_files(directory, files, force=force))
    told = [(str(directory / name), directory / name in written) for name in sorted(files)]
    lines = [f"{'wrote' if new else 'as it was'}  {name}" for name, new in told]
    document = {"files": [name for name, _ in told], "written": [name for name, new in told if new], "next": follow}
    put(document, "\n".join([*lines, "", f"next: {follow}"]), as_json=as_json)
