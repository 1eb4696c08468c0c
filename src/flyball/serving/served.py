"""One model as requests meet it: everything that can be worked out once per deployment instead of once per request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from flyball.engine.contract import Columns
from flyball.engine.native import NativeEngine
from flyball.engine.rows import few_rows
from flyball.journal.line import apply_policy, opening_of
from flyball.serving.answer import JSON, lines, own_lines, status_line
from flyball.serving.batching import Gathering
from flyball.serving.protocols.native import answer_head, features_json

if TYPE_CHECKING:
    from flyball.engine.session import Engine
    from flyball.serving.held import Loaded
    from flyball.serving.journals import Journals
    from flyball.serving.metrics import Metrics
    from flyball.serving.options import Options
    from flyball.serving.requests import Headers
    from flyball.serving.writing import Writer

LIVE = "live"
SHADOW = "shadow"


class Served:
    """A model's live version and its shadows, ready to answer. Built at a switch, on the event loop; then read only."""

    __slots__ = (
        *("counts", "durable", "engine", "gathering", "gatherings", "generation", "head", "headers", "journal"),
        *("journal_opening", "kept", "model", "multiclass", "opening", "path", "rows", "sample", "shadows", "verbatim"),
        *("version",),
    )

    def __init__(self, loaded: Loaded, metrics: Metrics, salt: bytes, journals: Journals, options: Options) -> None:
        deployment = loaded.deployment
        self.model = deployment.model
        self.path = f"/models/{self.model}/predict"
        self.version = deployment.live
        self.generation = deployment.generation
        self.engine: Engine = loaded.engines[deployment.live]
        #: version -> the way to it, of those that answer from a process of their own; and that of the live one.
        self.gatherings = {
            number: Gathering(engine, options.timeout_s)
            for number, engine in loaded.engines.items()
            if isinstance(engine, NativeEngine)
        }
        self.gathering = self.gatherings.get(self.version)
        self.multiclass = self.engine.contract.task == "multiclass"
        self.head = answer_head(self.model, self.version, LIVE)
        #: response headers that are the same for every answer, whatever its protocol.
        self.headers = [
            (b"x-flyball-model", f"{self.model}@{self.version}".encode()),
            (b"x-flyball-variant", LIVE.encode()),
            (b"x-flyball-generation", str(self.generation).encode()),
        ]
        #: how a response in the native protocol begins.
        self.opening = b"".join((status_line(200), *lines([(b"content-type", JSON), *self.headers])))
        self.counts = metrics.counts(self.model, self.version, LIVE)
        changes = {name: what for name, what in deployment.columns.items() if what != "keep"}
        #: what the journal keeps of a request's columns.
        self.kept = _kept(self.engine, changes, salt)
        #: whether a journal line is on the disk itself before its answer leaves.
        self.durable = journals.durable is not None and self.model in options.durable
        self.journal: Writer = journals.durable if self.durable and journals.durable else journals.predictions
        #: share of rows that are journaled.
        self.sample = options.sample.get(self.model, 1.0)
        #: whether the journal may keep rows as the text they were asked in: nothing is changed, nor written otherwise.
        layout = self.engine.contract.layout
        self.verbatim = not (changes or layout.booleans.size or layout.timestamps or layout.categories_nullable.any())
        #: for requests of one row, where the journal keeps them as they are.
        ordinary = not changes and self.sample >= 1.0 and self.gathering is None
        self.rows = few_rows(self.engine) if ordinary else None
        self.journal_opening = opening_of(
            model=self.model, version=self.version, variant=LIVE, role="live", source="http", generation=self.generation
        )
        #: (version, engine) of each shadow.
        self.shadows = tuple(
            (number, loaded.engines[number]) for number in deployment.shadow if number in loaded.engines
        )

    def versions(self) -> list[tuple[str, int, str, int]]:
        """(model, version, variant, generation) of all that is loaded."""
        live = (self.model, self.version, LIVE, self.generation)
        return [live, *((self.model, number, SHADOW, self.generation) for number, _ in self.shadows)]


def response(served: Served, asked: Headers, asked_by: str, answer: bytes, *, close: bool, date: bytes) -> bytes:
    """A whole 200, `date` being its default header lines."""
    return b"".join((served.opening, date, *own_lines(asked, asked_by, answer, close=close), b"\r\n", answer))


def _kept(engine: Engine, changes: Mapping[str, Any], salt: bytes) -> Callable[[Columns], Any]:
    if not changes:
        return features_json(engine.contract)
    return lambda columns: dict(apply_policy(columns, changes, salt))
