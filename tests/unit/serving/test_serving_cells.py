"""Counters in a file: found by name, exact after the death of whoever counted."""

from __future__ import annotations

from pathlib import Path

from flyball.serving.cells import CAPACITY, Cells, read_cells
from flyball.serving.metrics import Metrics, exposition


def total(folder: Path, name: tuple[str, ...]) -> float:
    return sum(values[0] for found, values in read_cells(folder) if found == name)


def test_a_successor_goes_on_counting_where_the_dead_one_stopped(tmp_path: Path) -> None:
    """The same index takes over the same file."""
    for _ in range(3):
        cells = Cells(tmp_path, 0)
        cells.values[cells.at(("x", "a"))] += 2.0
        cells.close()
    assert total(tmp_path, ("x", "a")) == 6.0
    assert len(list(tmp_path.glob("*.cells"))) == 1


def test_a_file_still_held_is_not_shared(tmp_path: Path) -> None:
    """A predecessor that drains counts on in its own file; readers see both."""
    first, second = Cells(tmp_path, 0), Cells(tmp_path, 0)
    for cells in (first, second):
        cells.values[cells.at(("x",))] += 1.0
    assert total(tmp_path, ("x",)) == 2.0
    first.close()
    second.close()


def test_names_torn_by_a_kill_are_skipped(tmp_path: Path) -> None:
    """An unfinished line names nothing and spoils no other."""
    cells = Cells(tmp_path, 0)
    cells.values[cells.at(("x",))] += 1.0
    cells.close()
    with (tmp_path / "worker-0.names").open("ab") as file:
        file.write(b'\n[["y"],6')
    cells = Cells(tmp_path, 0)
    cells.values[cells.at(("z",))] += 5.0
    cells.close()
    assert (total(tmp_path, ("x",)), total(tmp_path, ("z",))) == (1.0, 5.0)


def test_beyond_the_capacity_counts_are_lost_and_nothing_else(tmp_path: Path) -> None:
    """An answer matters more than its count."""
    cells = Cells(tmp_path, 0)
    cells.at(("x",), CAPACITY - 64)
    index = cells.at(("y",))
    cells.values[index] += 1.0
    assert index == 0
    assert total(tmp_path, ("x",)) == 0.0
    cells.close()


def test_requests_in_flight_and_versions_die_with_their_worker(tmp_path: Path) -> None:
    """Gauges begin anew where counters go on."""
    for version in (1, 2):
        cells = Cells(tmp_path, 0)
        metrics = Metrics(cells)
        metrics.values[metrics.in_flight] += 1.0
        metrics.serves([("delay", version, "live", version)])
        metrics.counts("delay", version, "live").answered(5, 0.002, "written")
        cells.close()
    text = exposition(tmp_path).decode()
    assert "flyball_in_flight 1.0" in text
    assert 'flyball_model_info{generation="2",model="delay",variant="live",version="2"} 1.0' in text
    assert 'generation="1"' not in text
    assert "flyball_batch_rows_sum 10.0" in text
    assert 'flyball_request_seconds_bucket{le="0.001",model="delay",variant="live"} 0.0' in text
    assert 'flyball_request_seconds_bucket{le="0.0025",model="delay",variant="live"} 2.0' in text


def test_a_workers_starts_are_counted_and_its_last_sign_of_life_kept(tmp_path: Path) -> None:
    """By its place: of an old process that drains and its successor, the later sign counts."""
    for now_s in (5.0, 7.0):
        cells = Cells(tmp_path, 1)
        Metrics(cells, 1).alive(now_s)
        cells.close()
    old, new = Cells(tmp_path, 1), Cells(tmp_path, 1)
    Metrics(old, 1).alive(9.0)
    Metrics(new, 1).alive(8.0)
    text = exposition(tmp_path).decode()
    assert 'flyball_worker_starts_total{worker="1"} 4.0' in text
    assert 'flyball_worker_last_tick_seconds{worker="1"} 9.0' in text
    old.close()
    new.close()
