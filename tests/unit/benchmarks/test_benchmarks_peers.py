"""What is said of the peers."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.monitoring import peers as monitoring
from benchmarks.serving.environments import PEERS as FOLDER
from benchmarks.serving.peers import PEERS, Peer

README = (Path(FOLDER).parent / "README.md").read_text()
MONITORING = (Path(FOLDER).parent / "monitoring" / "README.md").read_text()


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_every_peer_says_why_its_use_is_fair(peer: Peer) -> None:
    """In its serve.py, which goes to RESULTS.md, and in one line of the README."""
    assert peer.why_fair().endswith(".")
    assert f"\n| {peer.title} | " in README


@pytest.mark.parametrize("peer", monitoring.PEERS, ids=lambda peer: peer.name)
def test_every_monitor_says_why_its_use_is_fair(peer: monitoring.Peer) -> None:
    """In its report.py, and in one line of the monitor's README."""
    assert peer.why_fair().endswith(".")
    assert f"\n| {peer.title} | " in MONITORING


def test_every_folder_of_a_peer_is_measured() -> None:
    """None lies there unused, and none is listed without a folder."""
    assert {path.name for path in FOLDER.iterdir() if path.is_dir()} == {
        peer.name for peer in (*PEERS, *monitoring.PEERS)
    }
