"""`flyball up` and `flyball serve`: parse, prepare the home, hand over to the supervisor."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

from flyball.cli.addresses import DASHBOARD_PORT, SERVE_PORT, Addresses, claimed, keep
from flyball.cli.options import at_place
from flyball.cli.place import Place, open_home, open_homes
from flyball.dashboard.reads import require_model
from flyball.errors import ProjectError
from flyball.project.load import load_project
from flyball.project.records import Project
from flyball.registry.projects import add_project, projects
from flyball.store import Database, utcnow

DEFAULT_WORKERS = 2

_HOST = click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; other machines need tokens."
)
_WORKERS = click.option("--workers", type=click.IntRange(1), help="Serving processes; else [serving] workers.")


@click.command()
@click.argument("directories", metavar="[DIR ...]", nargs=-1, type=click.Path(path_type=Path))
@_HOST
@click.option(
    "--port", default=SERVE_PORT, show_default=True, help="Port of the data plane; if busy, the next free one."
)
@click.option("--ui-port", default=DASHBOARD_PORT, show_default=True, help="Port of the dashboard; likewise.")
@_WORKERS
@at_place
def up(place: Place, directories: tuple[Path, ...], host: str, port: int, ui_port: int, workers: int | None) -> None:
    """Everything on one machine for the projects in DIR (else the nearest, and all that the home knows): serving
    workers, dashboard and loop. Ctrl-C drains and ends them.
    """
    from flyball.cli import servers  # uvicorn: `--help` does without
    from flyball.serving.options import serving_options
    from flyball.serving.sockets import bind_free
    from flyball.serving.supervisor import worker_children

    home, database = open_homes(place, directories)
    _add(database, directories or ([place.project] if place.project else []))
    known = _known(database)
    count = workers or max((item.serving.workers for item in known), default=DEFAULT_WORKERS)
    with (
        claimed(home),
        closing(bind_free(host, port)) as data,
        closing(bind_free(host, ui_port)) as page,
    ):
        addresses = Addresses(serve=servers.url_of(data), dashboard=servers.url_of(page))
        keep(home, addresses)
        options = serving_options(known)
        door = servers.door_of(options, data)
        children = [
            *worker_children(home, data, count, options),
            servers.dashboard_child(home, page, serve_url=addresses.serve),
            servers.loop_child(home),
        ]
        servers.run_until_told(home, children, lambda stop: servers.announce(home, addresses, door, stop))


@click.command()
@click.option("--model", "models", multiple=True, help="Serve this model only; may be repeated.")
@click.option(
    "--host",
    show_default="127.0.0.1; on Cloud Run and Vertex AI 0.0.0.0",
    help="Address to listen on; other machines need tokens.",
)
@click.option(
    "--port",
    default=SERVE_PORT,
    show_default=True,
    envvar=["AIP_HTTP_PORT", "PORT"],
    show_envvar=True,
    help="Port to listen on.",
)
@_WORKERS
@at_place
def serve(place: Place, models: tuple[str, ...], host: str | None, port: int, workers: int | None) -> None:
    """The data plane only: serving workers, no dashboard and no loop. Ctrl-C drains and ends them.

    On Vertex AI, AIP_PREDICT_ROUTE and AIP_HEALTH_ROUTE are answered too.
    """
    from flyball.cli import servers  # uvicorn: `--help` does without
    from flyball.serving.options import serving_options
    from flyball.serving.sockets import bind
    from flyball.serving.supervisor import worker_children

    database = open_home(place)
    for model in models:
        require_model(database, model)
    known = [item for item in _known(database) if not models or item.model.name in models]
    count = workers or max((item.serving.workers for item in known), default=DEFAULT_WORKERS)
    with claimed(place.home), closing(bind(host or servers.usual_host(os.environ), port)) as data:
        addresses = Addresses(serve=servers.url_of(data), dashboard=None)
        keep(place.home, addresses)
        options = servers.with_vertex(serving_options(known, models), os.environ)
        door = servers.door_of(options, data)
        children = worker_children(place.home, data, count, options)
        servers.run_until_told(place.home, children, lambda stop: servers.announce(place.home, addresses, door, stop))


def _add(database: Database, directories: Sequence[Path]) -> None:
    """Make the projects known to the home, so that the loop finds them. A project with findings is refused here."""
    for project in [load_project(directory) for directory in directories]:
        with database.write() as tx:
            add_project(tx, name=project.model.name, directory=project.directory, at=utcnow())


def _known(database: Database) -> list[Project]:
    """The home's projects. One that cannot be read does not keep the others from being served; the loop tells of it."""
    found = []
    for directory in projects(database).values():
        try:
            found.append(load_project(directory))
        except ProjectError:
            continue
    return found
