"""What the monitor's speed is compared with: each a process of its own; what does not report is left out, with the reason."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.monitoring import speed
from benchmarks.monitoring.peers import NotMeasured, Peer, Report, measure
from benchmarks.serving import environments

PEER = Peer(name="numpy", title="Numpy", report="report", over=20)
ABSENT = Peer(name="absent", title="Absent", report="report")
#: how many columns both files have, in four seconds that did not pass.
SCRIPT = """
import json, sys
import pyarrow.parquet as pq
known, seen = (pq.read_metadata(file).num_columns for file in sys.argv[1:])
assert known == seen
print("loading")
print(json.dumps({"seconds": 4.0, "columns": seen}))
"""


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The script of the one peer that is installed, in this interpreter's environment."""
    (tmp_path / PEER.name).mkdir()
    monkeypatch.setattr(environments, "PEERS", tmp_path)
    monkeypatch.setattr(environments, "CACHE", tmp_path)
    monkeypatch.setattr(environments, "is_installed", lambda name: name == PEER.name)
    monkeypatch.setattr(environments, "environment", lambda name: tmp_path / name)
    monkeypatch.setattr(environments, "python", lambda folder: Path(sys.executable))
    PEER.script.write_text(SCRIPT)
    return PEER.script


def test_peers_get_the_rows_as_files_and_the_absent_one_a_line(
    script: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The last line that a peer prints is its report; who is not installed is told how to be."""
    monkeypatch.setattr(speed, "PEERS", (ABSENT, PEER))
    rng = np.random.default_rng(0)
    absent, found = speed.beside_peers(speed.columns(rng, 10), speed.columns(rng, 20), tmp_path)
    assert absent == ("Left out: Absent: not installed; `python -m benchmarks.monitoring speed --all-peers` does so.")
    assert found == Report(peer=PEER, version=np.__version__, seconds=4.0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import sys; sys.exit('warned\\nno such column')", "no such column"),
        ("import os; os._exit(9)", "exit 9"),
        ("raise MemoryError", "MemoryError"),
        ('print(\'{"seconds": 1.0, "columns": 29}\')', "its report is of 29 columns, not of 30"),
        ("print('done')", "it printed no report, but 'done'"),
        ("", "it printed no report, but ''"),
    ],
)
def test_a_peer_that_does_not_report_on_all_columns_is_left_out(script: Path, text: str, why: str) -> None:
    """With the last thing it said; never an error."""
    script.write_text(text)
    with pytest.raises(NotMeasured) as error:
        measure(PEER, script, script, 30)
    assert str(error.value) == why


@pytest.mark.parametrize(
    ("scipy", "end"), [(0.1, "| 4.00 | 40.0 | more than 20 x SciPy | met |"), (0.2, "| **not met** |")]
)
def test_a_row_has_the_ratio_to_scipy(scipy: float, end: str) -> None:
    """Twenty times as long is not more than twenty times."""
    row = speed.peer_row(Report(peer=PEER, version="2.4", seconds=4.0), scipy)
    assert row.startswith("| the same rows by Numpy 2.4, report | ")
    assert row.endswith(end)


def test_what_nothing_was_asked_of_is_told_only() -> None:
    """Its ratio, and no verdict."""
    assert speed.peer_row(Report(peer=ABSENT, version="1", seconds=4.0), 2.0).endswith("| 4.00 | 2.0 | | |")
