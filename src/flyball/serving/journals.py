"""A worker's journals: one writer for each kind of line, each with a segment of its own."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from flyball.journal.segment import Segment
from flyball.serving.writing import CLOSE_S, Fault, Writer

if TYPE_CHECKING:
    from flyball.serving.options import Options
    from flyball.store import Home


@dataclass(frozen=True, slots=True, kw_only=True)
class Journals:
    """A worker's writers."""

    predictions: Writer
    #: of models whose `[serving] durability` is "disk"; None where there is none.
    durable: Writer | None
    #: durable too where any model's predictions are.
    outcomes: Writer
    errors: Writer

    def all(self) -> dict[str, Writer]:
        """Each by what it is called to people."""
        named = {"predictions": self.predictions, "outcomes": self.outcomes, "errors": self.errors}
        return named if self.durable is None else {**named, "durable predictions": self.durable}

    def faults(self) -> list[Fault]:
        """What is wrong, as sentences that name the journal; empty where all is well. From any thread."""
        return [
            Fault(fault.shedding, f"the journal of {name} {fault.what}")
            for name, writer in self.all().items()
            if (fault := writer.fault)
        ]

    def tend(self) -> None:
        for writer in self.all().values():
            writer.tend()

    def close(self) -> None:
        deadline = monotonic() + CLOSE_S
        for writer in self.all().values():
            writer.close(max(0.0, deadline - monotonic()))


def open_journals(home: Home, options: Options) -> Journals:
    """A worker's writers, each with a segment of its own. Never raises: answers do not wait for a disk to be mended."""

    def writer(kind: str, *, durable: bool = False) -> Writer:
        return Writer(Segment(home.journal, kind), rotate_s=options.segment_s, durable=durable)

    durable = bool(options.durable)
    return Journals(
        predictions=writer("predictions"),
        durable=writer("predictions", durable=True) if durable else None,
        outcomes=writer("outcomes", durable=durable),
        errors=writer("errors"),
    )
