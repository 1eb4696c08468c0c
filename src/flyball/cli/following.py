"""After a move by hand, MLflow's aliases follow: by the loop where one runs, else by this command, best effort."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from flyball.cli.place import Place
from flyball.cli.show import printable
from flyball.errors import FlyballError
from flyball.registry.versions import versions
from flyball.store import Database, utcnow

if TYPE_CHECKING:
    from flyball.loop.site import Site


@contextmanager
def aliases_follow(place: Place, database: Database, model: str) -> Iterator[Callable[[], None]]:
    """Gives what is to be called once the move is made and told. MLflow is loaded beside it, in a process of its own."""
    from flyball.loop import projecting, site  # step processes: `--help` does without

    tracked = any(item.lineage.mlflow_run for item in versions(database, model))
    if not tracked or projecting.loop_runs(database):
        yield lambda: None
        return
    with projecting.light_workers(place.home) as workers:

        def follow() -> None:
            uri = site.tracking_uri(place.home)
            deliver(
                lambda: projecting.deliver(
                    place.home, database, workers, model, uri=uri, now=utcnow(), timeout_s=projecting.PATIENCE_S
                )
            )

        yield follow


def deliver(work: Callable[[], None]) -> None:
    """The move stands, whatever MLflow says: what it was not told stays in the outbox."""
    try:
        work()
    except FlyballError as error:
        click.echo(f"{printable(str(error))}; `flyball up` tries again", err=True)


def follow(site: Site) -> None:
    """The same after a run, whose step processes have MLflow loaded."""
    from flyball.loop import projecting

    if not projecting.loop_runs(site.database):
        uri, seconds = site.tracking_uri, projecting.PATIENCE_S
        deliver(
            lambda: projecting.deliver(
                site.home, site.database, site.workers, site.model, uri=uri, now=utcnow(), timeout_s=seconds
            )
        )
