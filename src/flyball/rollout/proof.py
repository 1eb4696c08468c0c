"""Proof that a version may answer: before any stage moves, its bundle is loaded and answers its own example row."""

from __future__ import annotations

from dataclasses import dataclass

from flyball.engine.native import NativeEngine
from flyball.engine.session import load_engine
from flyball.errors import Conflict, Corrupt, FlyballError
from flyball.registry import holds
from flyball.registry.records import Version
from flyball.registry.versions import version
from flyball.store import Database, Home, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What came of trying a version."""

    model: str
    version: int
    #: of the bundle that was tried.
    digest: str
    #: why it cannot answer; None: it did.
    trouble: str | None

    def of(self, candidate: Version) -> Proof:
        """Itself, where it is this version's. Raises Conflict: what was proven of one says nothing of another."""
        if (self.model, self.version, self.digest) != (candidate.model, candidate.number, candidate.digest):
            raise Conflict(f"v{self.version} of {self.model} was tried, not v{candidate.number} of {candidate.model}")
        return self


def prove(home: Home, candidate: Version) -> None:
    """Load it and have it answer. Raises Corrupt, Unavailable, with the reason."""
    engine = load_engine(home.path / candidate.bundle, candidate.digest)
    if isinstance(engine, NativeEngine):
        engine.close()  # its process has no more to do


def tried(home: Home, candidate: Version) -> Proof:
    """The same for whoever goes on either way: a trouble is told, not raised."""
    trouble = None
    try:
        prove(home, candidate)
    except FlyballError as error:
        trouble = str(error)
    except OSError as error:
        trouble = str(Corrupt(f"{candidate.bundle}: cannot be read ({error.strerror}); register the version again"))
    return Proof(model=candidate.model, version=candidate.number, digest=candidate.digest, trouble=trouble)


def hindrance(tx: Transaction | Database, model: str, number: int) -> str | None:
    """Why Flyball must not let the version answer by itself: it was put away, or barred; None where it may."""
    row = tx.one("SELECT stage FROM version WHERE model = :model AND number = :number", model=model, number=number)
    if row is not None and row["stage"] == "archived":
        return f"v{number} of {model} is archived; `flyball promote {model}@{number}` puts it live all the same"
    barred = holds.barred(tx, model, number)
    return None if barred is None else str(barred)


def try_version(database: Database, home: Home, model: str, number: int) -> Proof:
    """`tried`, of a version by its number."""
    return tried(home, version(database, model, number))
