"""One model as requests meet it: everything that can be worked out once per deployment instead of once per request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from flyball.engine.contract import Columns
from flyball.engine.native import NativeEngine
from flyball.engine.rows import few_rows
from flyball.journal.line import apply_policy, opening_of_one
from flyball.serving.batching import Gathering
from flyball.serving.problem import phrase
from flyball.serving.protocols.native import answer_head, features_json
from flyball.serving.requests import Headers, traceparent

if TYPE_CHECKING:
    from flyball.engine.session import Engine
    from flyball.serving.held import Loaded
    from flyball.serving.journals import Journals
    from flyball.serving.metrics import Metrics
    from flyball.serving.options import Options
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
        #: response headers that are the same for every answer.
        self.headers = [
            (b"content-type", b"application/json"),
            (b"x-flyball-model", f"{self.model}@{self.version}".encode()),
            (b"x-flyball-variant", LIVE.encode()),
            (b"x-flyball-generation", str(self.generation).encode()),
        ]
        #: how a response with these headers begins.
        self.opening = b"".join((status_line(200), *lines(self.headers)))
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
        self.verbatim = not (changes or layout.booleans.size or layout.categories_nullable.any())
        #: for requests of one row, where the journal keeps them as they are.
        ordinary = not changes and self.sample >= 1.0 and self.gathering is None
        self.rows = few_rows(self.engine) if ordinary else None
        self.journal_opening = opening_of_one(
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


def own_lines(asked: Headers, asked_by: str, body: bytes, *, close: bool) -> list[bytes]:
    """The header lines that differ from answer to answer."""
    head = [b"content-length: %d\r\nx-request-id: %b\r\n" % (len(body), asked_by.encode())]
    if b"traceparent" in asked and (trace := traceparent(asked)):
        head.append(b"traceparent: " + trace + b"\r\n")
    if close:
        head.append(b"connection: close\r\n")
    return head


def status_line(status: int) -> bytes:
    """The first line of a response."""
    return f"HTTP/1.1 {status} {phrase(status)}\r\n".encode()


def lines(headers: Iterable[tuple[bytes, bytes]]) -> list[bytes]:
    """Headers as they stand in a response."""
    return [name + b": " + value + b"\r\n" for name, value in headers]


def _kept(engine: Engine, changes: Mapping[str, Any], salt: bytes) -> Callable[[Columns], Any]:
    if not changes:
        return features_json(engine.contract)
    return lambda columns: dict(apply_policy(columns, changes, salt))
