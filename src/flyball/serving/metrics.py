"""What Prometheus is told: the workers' metrics, exact over any number of workers and their deaths.

A served row is counted once, under what became of its journal record; rows served are the sum of those. So
served = written + sampled_out + dropped holds by construction, whatever is killed when. A row whose record still waits
for the disk stands in a gauge of its own until that is known; those of a worker that was killed were dropped.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from operator import add
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from flyball.serving.cells import Cells, Name, read_cells

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from prometheus_client.core import Metric

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

#: upper bounds of latency buckets, seconds; the last bucket has none.
SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: upper bounds of batch sizes, rows.
ROWS = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0, 100_000.0)
#: what may become of a served row's journal record.
JOURNALED = ("written", "dropped", "sampled_out")
#: it is not known yet.
WAITING = "waiting"
#: what may become of the record of a request that was refused or failed: beyond a rate none is made.
RECORDED = ("written", "dropped", "shed")
#: what may become of a shadow's scoring, by request.
SHADOWED = ("written", "dropped", "failed", "shed")

#: a worker's last sign of life, and how often a process began in its place: by the worker's index.
SEEN, STARTS = "seen", "starts"


class Counts:
    """The cells of one model's live version, found once: additions only on the way of a request."""

    __slots__ = ("_batch", "_batch_sum", "_ok", "_rows", "_seconds", "_seconds_sum", "_values")

    def __init__(self, cells: Cells, model: str, version: str, variant: str) -> None:
        self._values = cells.values
        self._ok = cells.at(("requests", model, version, variant, "200"))
        self._rows = {kept: cells.at(("rows", model, version, variant, kept)) for kept in (*JOURNALED, WAITING)}
        self._seconds = cells.at(("seconds", model, variant), len(SECONDS) + 2)
        self._seconds_sum = self._seconds + len(SECONDS) + 1
        self._batch = cells.at(("batch",), len(ROWS) + 2)
        self._batch_sum = self._batch + len(ROWS) + 1

    def answered(self, rows: int, seconds: float, journaled: str, sampled_out: int = 0) -> None:
        """One answered request of `rows` rows, of which `sampled_out` have no record and the others the fate `journaled`."""
        values = self._values
        values[self._rows[journaled]] += rows - sampled_out
        if sampled_out:
            values[self._rows["sampled_out"]] += sampled_out
        values[self._ok] += 1.0
        values[self._seconds + bisect_left(SECONDS, seconds)] += 1.0
        values[self._seconds_sum] += seconds
        values[self._batch + bisect_left(ROWS, rows)] += 1.0
        values[self._batch_sum] += rows

    def singles(self, requests: int, seconds: float, journaled: str) -> None:
        """`answered` for requests of one row each that were answered together."""
        values = self._values
        values[self._rows[journaled]] += requests
        values[self._ok] += requests
        values[self._seconds + bisect_left(SECONDS, seconds)] += requests
        values[self._seconds_sum] += requests * seconds
        values[self._batch] += requests
        values[self._batch_sum] += requests

    def settled(self, rows: int, *, written: bool) -> None:
        """What became of rows that were counted as waiting."""
        self._values[self._rows[WAITING]] -= rows
        self._values[self._rows["written" if written else "dropped"]] += rows


class Metrics:
    """One worker's metrics."""

    def __init__(self, cells: Cells, index: int = 0) -> None:
        self._cells = cells
        self.values = cells.values
        #: index of the gauge of requests in flight; add to `values` there.
        self.in_flight = cells.at(("in_flight",))
        self._seen = cells.at((SEEN, str(index)))
        self.values[cells.at((STARTS, str(index)))] += 1.0
        # A predecessor that was killed took its requests and versions with it.
        for index in (self.in_flight, *cells.named("info").values()):
            self.values[index] = 0.0
        for name, index in cells.named("rows").items():
            if name[-1] == WAITING:
                lost, self.values[index] = self.values[index], 0.0
                self.values[cells.at((*name[:-1], "dropped"))] += lost

    def counts(self, model: str, version: int, variant: str) -> Counts:
        return Counts(self._cells, model, str(version), variant)

    def refused(self, model: str, version: str, variant: str, code: int) -> None:
        """A request that got no prediction; model, version and variant are empty where it reached none."""
        self.values[self._cells.at(("requests", model, version, variant, str(code)))] += 1.0

    def shadow(self, result: str, count: int = 1) -> None:
        self.values[self._cells.at(("shadow", result))] += count

    def recorded(self, result: str, count: int = 1) -> None:
        """Requests that were refused or failed, by what became of their record."""
        self.values[self._cells.at(("recorded", result))] += count

    def outcomes(self, model: str, count: int) -> None:
        self.values[self._cells.at(("outcomes", model))] += count

    def alive(self, now_s: float) -> None:
        """A sign of life, seconds since 1970: a worker that hangs, or is not replaced, gives none."""
        self.values[self._seen] = now_s

    def serves(self, versions: Sequence[tuple[str, int, str, int]]) -> None:
        """Say which (model, version, variant, generation) this worker has loaded, and no others."""
        self._cells.flush()
        for index in self._cells.named("info").values():
            self.values[index] = 0.0
        for model, version, variant, generation in versions:
            self.values[self._cells.at(("info", model, str(version), variant, str(generation)))] = 1.0


def exposition(folder: Path) -> bytes:
    """All workers' metrics in Prometheus' text format 0.0.4."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(folder))
    return generate_latest(registry)


class _Snapshot:
    """What prometheus_client asks of a collector."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterator[Metric]:
        totals: dict[Name, list[float]] = {}
        for name, values in read_cells(self._folder):
            have = totals.get(name)
            if have is not None:
                # Of two processes in one place, an old one that drains and its successor, the later sign of life counts.
                join = max if name[0] == SEEN else add
                values = [join(a, b) for a, b in zip(have, values, strict=True)]
            totals[name] = values
        return iter(_families(totals))


def _families(totals: dict[Name, list[float]]) -> list[Metric]:
    by_family: dict[str, dict[Name, list[float]]] = defaultdict(dict)
    for name, values in totals.items():
        by_family[name[0]][name[1:]] = values
    rows: dict[Name, float] = defaultdict(float)
    records = dict.fromkeys(JOURNALED, 0.0)
    waiting = 0.0
    for (*served, result), (value,) in by_family["rows"].items():
        if result == WAITING:
            waiting += value
        else:
            rows[tuple(served)] += value
            records[result] += value
    recorded: dict[Name, list[float]] = {(result,): by_family["recorded"].get((result,), [0.0]) for result in RECORDED}
    shadow: dict[Name, list[float]] = {(result,): by_family["shadow"].get((result,), [0.0]) for result in SHADOWED}
    labels = ["model", "version", "variant"]
    return [
        _counter("flyball_requests", "Requests by answer.", [*labels, "code"], _single(by_family["requests"])),
        _counter("flyball_rows", "Rows answered whose journal record has its fate.", labels, rows),
        _counter(
            "flyball_journal_records",
            "Rows answered, by what became of their journal record.",
            ["result"],
            {(result,): value for result, value in records.items()},
        ),
        _gauge("flyball_journal_waiting", "Rows answered whose journal record waits for the disk.", [], {(): waiting}),
        _counter(
            "flyball_error_records",
            "Requests refused or failed, by what became of their record in the lake of errors.",
            ["result"],
            _single(recorded),
        ),
        _counter("flyball_shadow", "Requests scored by shadow versions.", ["result"], _single(shadow)),
        _counter("flyball_outcomes", "Outcomes taken in.", ["model"], _single(by_family["outcomes"])),
        _histogram(
            "flyball_request_seconds",
            "Time from a request's last byte to its answer.",
            ["model", "variant"],
            SECONDS,
            by_family["seconds"],
        ),
        _histogram("flyball_batch_rows", "Rows per request.", [], ROWS, by_family["batch"]),
        _gauge("flyball_in_flight", "Requests being answered.", [], _single(by_family["in_flight"])),
        _gauge(
            "flyball_model_info",
            "1 where a worker has this version loaded.",
            [*labels, "generation"],
            {name: 1.0 for name, (value,) in by_family["info"].items() if value},
        ),
        _counter(
            "flyball_worker_starts", "Processes begun in a worker's place.", ["worker"], _single(by_family[STARTS])
        ),
        _gauge(
            "flyball_worker_last_tick_seconds",
            "A worker's last sign of life, seconds since 1970.",
            ["worker"],
            {name: value for name, (value,) in by_family[SEEN].items() if value},
        ),
    ]


def _single(runs: dict[Name, list[float]]) -> dict[Name, float]:
    return {name: values[0] for name, values in runs.items()}


def _counter(name: str, text: str, labels: list[str], samples: dict[Name, float]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, value in sorted(samples.items()):
        family.add_metric(values, value)
    return family


def _gauge(name: str, text: str, labels: list[str], samples: dict[Name, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in sorted(samples.items()):
        family.add_metric(values, value)
    return family


def _histogram(
    name: str, text: str, labels: list[str], bounds: Sequence[float], runs: dict[Name, list[float]]
) -> Metric:
    family = HistogramMetricFamily(name, text, labels=labels)
    for values, (*counts, total) in sorted(runs.items()):
        buckets, below = [], 0.0
        for bound, count in zip([*map(str, bounds), "+Inf"], counts, strict=True):
            below += count
            buckets.append((bound, below))
        family.add_metric(values, buckets, sum_value=total)
    return family
