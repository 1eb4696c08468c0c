"""MLflow's aliases follow a move: projected from the outbox by the loop, or where none runs by whoever moved.

What the database says is projected whole, so once is enough for all that has moved; one process at a time, so that no
older word overtakes a newer one. What cannot be delivered stays in the outbox.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Any, cast

from flyball.errors import FlyballError, Unavailable
from flyball.loop import unaided
from flyball.loop.leading import LEASE
from flyball.loop.site import tracking_uri
from flyball.loop.unaided import Told
from flyball.loop.unaided_file import Unfamiliar
from flyball.pipeline.artifact import load
from flyball.pipeline.owner import is_alive, this_process
from flyball.pipeline.task import lone_task
from flyball.pipeline.workers import StepWorkers
from flyball.registry import chain, live, names
from flyball.registry.versions import versions
from flyball.store import Database, Event, Home, new_id, utcnow
from flyball.store.checkpoints import Checkpoint, unwatched
from flyball.store.lease import hold, holder_of, let_go
from flyball.store.outbox import delivered, failed, pending

#: where a delivery can die: nothing is projected yet; MLflow says it, and the outbox does not know.
TRANSITIONS = ("chosen", "projected")

#: of the loop's own delivery; a person waits less long.
TIMEOUT_S = 60.0
PATIENCE_S = 20.0

#: how often the loop looks whether something has moved; and tries again what MLflow could not be told.
LOOK_S = 0.5
AGAIN_S = 10.0
#: what a process imports that does nothing else.
LIGHT = "flyball.loop.aliasing"

_HERE = threading.Lock()


def waiting(database: Database, model: str) -> list[Event]:
    """Moves of the model's stages that MLflow has not been told of."""
    return [item for item in pending(database) if item.kind == "aliases" and item.payload.get("model") == model]


def loop_runs(database: Database) -> bool:
    """Whether a loop leads and lives: it delivers what waits within a second, or after the run it is in."""
    holder = holder_of(database, LEASE, now=utcnow())
    return holder is not None and is_alive(holder)


def deliver(
    home: Home,
    database: Database,
    workers: StepWorkers,
    model: str,
    *,
    uri: str,
    now: datetime,
    timeout_s: float = TIMEOUT_S,
    checkpoint: Checkpoint = unwatched,
) -> None:
    """Project what waits, and mark it. Raises Unavailable; it then waits on, with the reason."""
    with _alone(database, model, timeout_s):
        events = waiting(database, model)
        if not events:
            return  # another process has told MLflow meanwhile
        checkpoint("chosen")
        try:
            project(home, database, workers, model, uri=uri, now=now, timeout_s=timeout_s)
        except FlyballError as error:
            with database.write() as tx:
                for event in events:
                    failed(tx, event, error=str(error))
            raise
        checkpoint("projected")
        with database.write() as tx:
            for event in events:
                delivered(tx, event, at=utcnow())


def project(
    home: Home,
    database: Database,
    workers: StepWorkers,
    model: str,
    *,
    uri: str,
    now: datetime,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Make MLflow say what the database says, whole. Raises Unavailable."""
    told = Told(
        stages={item.number: item.stage for item in versions(database, model)},
        free=names.numbers(database, model),
        deleted=tuple({name: None for event in waiting(database, model) for name in event.payload.get("deleted", ())}),
        head=chain.head(database),
    )
    try:
        try:
            with unaided.opened(uri, model, timeout_s=timeout_s, write=True) as registry:
                unaided.say(registry, model, told)
        except Unfamiliar:
            plain = {**asdict(told), "stages": {str(number): stage for number, stage in told.stages.items()}}
            constants = {"name": model, "uri": uri, "told": plain}
            ask_mlflow(home, workers, "project_aliases", constants, log=model, now=now, timeout_s=timeout_s)
    except Unavailable as error:
        raise Unavailable(f"MLflow's aliases could not be set: {error}") from error


def ask_mlflow(
    home: Home,
    workers: StepWorkers,
    function: str,
    constants: Mapping[str, Any],
    *,
    log: str,
    now: datetime,
    timeout_s: float,
) -> Mapping[str, Any]:
    """What a function of `loop.aliasing` answers, in a step process, because MLflow is imported there. Raises Unavailable."""
    folder = home.runs / f".aliases-{new_id()}"
    log_file = home.runs / f"{log}.aliases.log"
    task = lone_task("aliases", f"{LIGHT}:{function}", constants, folder=folder, log=log_file, now=now)
    folder.mkdir(parents=True)
    try:
        outcome = workers.run(task, timeout_s=timeout_s)
        if outcome.artifact is None:
            raise Unavailable(str(outcome.error))
        return cast(Mapping[str, Any], load(outcome.artifact, folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def light_workers(home: Home) -> Iterator[StepWorkers]:
    """For a process with nothing but MLflow in it; begun at once where it is sure to be needed: it imports meanwhile."""
    log = home.runs / "aliases.import.log"
    with StepWorkers(directory=home.path, module=LIGHT, log=log) as workers:
        if not unaided.is_known(tracking_uri(home)):
            workers.warm()
        yield workers


@contextmanager
def following(home: Home, database: Database) -> Iterator[None]:
    """While the block runs, MLflow follows every model's moves at once, by a thread: a beat may train for an hour."""
    done = threading.Event()

    def follow() -> None:
        with StepWorkers(directory=home.path, module=LIGHT, log=home.runs / "aliases.import.log") as workers:
            again_at = 0.0
            while not done.wait(LOOK_S):
                again = time.monotonic() >= again_at
                again_at = time.monotonic() + AGAIN_S if again else again_at
                try:
                    _follow(home, database, workers, again=again)
                except Exception:  # noqa: BLE001, S110  # the outbox keeps it with the reason; of the database the beats tell
                    pass
        database.close()

    thread = threading.Thread(target=follow, name="aliases", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _follow(home: Home, database: Database, workers: StepWorkers, *, again: bool) -> None:
    """Tell MLflow what is new; `again`: also what it could not be told before."""
    if not unaided.is_known(tracking_uri(home)) and live.newest_generation(database):
        workers.warm()  # once: what is live will move, and whoever waits for that need not wait for MLflow's import
    fresh = [item for item in pending(database) if item.kind == "aliases" and (again or not item.attempts)]
    for model in dict.fromkeys(str(event.payload["model"]) for event in fresh):
        deliver(home, database, workers, model, uri=tracking_uri(home), now=utcnow())


@contextmanager
def _alone(database: Database, model: str, patience_s: float) -> Iterator[None]:
    """While the block runs, no other process, and no other thread of this one, projects this model."""
    lease, me, deadline = f"aliases:{model}", this_process(), time.monotonic() + patience_s
    with _HERE:
        while not hold(database, lease, me, now=utcnow(), for_s=2 * TIMEOUT_S):
            other = holder_of(database, lease, now=utcnow())
            if other is not None and not is_alive(other):
                let_go(database, lease, other)  # killed: nobody need wait for its lease to run out
            elif time.monotonic() > deadline:
                raise Unavailable(f"MLflow's aliases of {model} are being set by another process ({other}) for long")
            else:
                time.sleep(0.05)
        try:
            yield
        finally:
            let_go(database, lease, me)
