"""How long a connection may take: records in, what is due out."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.serving.connections import LINGER_S, NOTHING, Limits, Seen, Stage, Unread, due, most_connections, unread
from flyball.serving.options import Options, parse_worker, worker_argv

LIMITS = Limits(head_s=10.0, timeout_s=30.0)


@pytest.mark.parametrize(
    ("stage", "since_s", "now_s", "expected"),
    [
        (Stage.HEAD, 100.0, 109.9, None),
        (Stage.HEAD, 100.0, 110.0, "slow head"),
        (Stage.BODY, 100.0, 129.9, None),
        (Stage.BODY, 100.0, 130.0, "end"),
        (Stage.OVER, 100.0, 100.0 + LINGER_S - 0.1, None),
        (Stage.OVER, 100.0, 100.0 + LINGER_S, "end"),
        (Stage.BETWEEN, 100.0, 1000.0, None),
        (Stage.HEAD, 0.0, 1000.0, None),
    ],
)
def test_each_stage_has_its_time(stage: Stage, since_s: float, now_s: float, expected: str | None) -> None:
    """A head 10 s, a body that nobody waits for 30 s, the end a little; what is idle has a timer of its own."""
    assert due(Seen(stage, since_s, NOTHING), LIMITS, now_s) == expected


@pytest.mark.parametrize("stage", list(Stage))
def test_answers_that_nobody_reads_end_a_connection(stage: Stage) -> None:
    """Whatever else it is about."""
    assert due(Seen(stage, 0.0, Unread(1, 100.0)), LIMITS, 129.9) is None
    assert due(Seen(stage, 0.0, Unread(1, 100.0)), LIMITS, 130.0) == "slow reader"


def test_a_byte_read_starts_the_clock_anew() -> None:
    """Less than before is progress, as much or more is none, and nothing has no clock."""
    first = unread(NOTHING, 1000, 1.0)
    assert first == Unread(1000, 1.0)
    assert unread(first, 1000, 2.0) == Unread(1000, 1.0)
    assert unread(first, 1200, 2.0) == Unread(1200, 1.0)
    assert unread(first, 999, 2.0) == Unread(999, 2.0)
    assert unread(first, 0, 2.0) == NOTHING


@pytest.mark.parametrize(
    ("wanted", "open_files", "expected"),
    [(8192, 65_536, 8192), (8192, 1024, 768), (8192, 256, 128), (100, 1024, 100)],
)
def test_connections_leave_files_for_the_rest(wanted: int, open_files: int, expected: int) -> None:
    """All but 256 open files, or half of them where there are few."""
    assert most_connections(wanted, open_files) == expected


def test_workers_are_told_their_limits(tmp_path: Path) -> None:
    """Through their command line."""
    options = Options(max_connections=7, head_s=0.5, keep_alive_s=1.5)
    assert parse_worker(worker_argv(tmp_path, 3, 0, options)).options == options
