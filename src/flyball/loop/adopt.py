"""Bringing in a model that exists already: looked at first, then a run like another, whose id says what it adopts.

The same model with the same table is the same run: twice is once, two at once are one and a Conflict, and a run that
was cut off is taken up by asking again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast

from flyball.errors import FlyballError, Mistake, NotFound
from flyball.loop.attempt import ADOPTED_REASON, Release
from flyball.loop.release import carry_out
from flyball.loop.site import ADOPTED, PRELOAD, Site
from flyball.pipeline.artifact import load
from flyball.pipeline.logs import tail
from flyball.pipeline.runs import RunRecord, create_run, find_run, take_over
from flyball.pipeline.step import Window
from flyball.pipeline.task import lone_task
from flyball.pipeline.workers import StepWorkers
from flyball.registry.audit import GOVERNOR
from flyball.registry.records import Version
from flyball.registry.versions import version
from flyball.store import Transaction
from flyball.store.checkpoints import Checkpoint, unwatched
from flyball.store.ids import derived_id

Seen = Literal["unknown", "no"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What a model and its reference table say together."""

    #: SHA-256 of the model's files, and of the table's.
    digest: str
    reference_sha256: str
    flavour: str
    rows: int
    #: `[model]`: target, task, positive, key, timestamp, features.
    settings: Mapping[str, Any]
    #: a line for each value that was inferred; and for what else a person should know.
    told: tuple[str, ...]
    notes: tuple[str, ...]


def look(
    folder: Path, source: str, reference: Path, asked: Mapping[str, Any], *, stores: tuple[str, ...], now: datetime
) -> Looked:
    """Load the model in a process of its own and hold it against the table. `asked`: see `adopted_looking.look`.

    Raises Mistake for what cannot be adopted so; nothing is kept of it.
    """
    with (
        tempfile.TemporaryDirectory(prefix="flyball-adopt-") as held,
        StepWorkers(directory=folder, module=ADOPTED, preload=PRELOAD, log=Path(held) / "import.log") as workers,
    ):
        path = Path(held)
        told = {"source": source, "servers": list(stores), "table": str(reference), "asked": dict(asked)}
        target = "flyball.loop.adopted_looking:look"
        task = lone_task("look", target, told, folder=path, log=path / "log.txt", now=now, given=("run",))
        outcome = workers.run(task)
        if outcome.artifact is None:
            raise FlyballError(f"the model could not be looked at: {outcome.error}\n{tail(task.log)}")
        found = load(outcome.artifact, path)
    if "error" in found:
        raise Mistake(found["error"])
    return Looked(**{**found, "told": tuple(found["told"]), "notes": tuple(found["notes"])})


def adopt(
    site: Site,
    looked: Looked,
    *,
    source: str,
    reference: Path,
    seen: Seen,
    why: str,
    now: datetime,
    who: str = GOVERNOR,
    checkpoint: Checkpoint = unwatched,
) -> Release | Version:
    """The release it came to; or the version that this model with this table is already.

    Raises Conflict while another process adopts the same, StepFailed, Mistake; the run is then recorded as failed.
    """
    with site.database.write() as tx:
        run = _begin(tx, site, looked, source=source, reference=reference, seen=seen, why=why, now=now, who=who)
    if run.version is not None:
        return version(site.database, site.model, run.version)
    return carry_out(site, run, now=now, checkpoint=checkpoint)


def _begin(
    tx: Transaction,
    site: Site,
    looked: Looked,
    *,
    source: str,
    reference: Path,
    seen: Seen,
    why: str,
    now: datetime,
    who: str,
) -> RunRecord:
    features = cast(list[str], looked.settings["features"])
    identity = derived_id("adopt", site.model, looked.digest, looked.reference_sha256, seen, *features)
    try:
        was = find_run(tx, identity)
    except NotFound:
        return create_run(
            tx,
            id=identity,
            project=site.model,
            model=site.model,
            reason=ADOPTED_REASON,
            why=why,
            now=now,
            window=Window(start=None, end=now),
            params={
                "source": source,
                "reference": str(reference),
                "reference_sha256": looked.reference_sha256,
                "features": list(features),
                "seen": seen,
                "condition": looked.flavour,
            },
            seed=site.project.pipeline.seed,
            requested_by=who,
        )
    return was if was.version is not None else take_over(tx, was.id)
