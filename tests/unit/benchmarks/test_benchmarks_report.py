"""What RESULTS.md tells."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from benchmarks.serving.cases import LIGHTGBM_16, Measured
from benchmarks.serving.claims import Claim
from benchmarks.serving.load import Load
from benchmarks.serving.overload import Crowd, Overload, Round
from benchmarks.serving.report import Run, markdown

PEAK = Load(answers=300, seconds=3.0, p50_ms=80.0, p99_ms=90.0, failed=0)
CROWD = Crowd(asked=1800, good=810, after=40, refused=900, left=50, broken=0, seconds=9.0)
ONE = Measured(
    rounds={
        "echo": (Load(answers=30_000, seconds=1.0, p50_ms=0.4, p99_ms=0.8, failed=0),),
        "flyball": (Load(answers=20_000, seconds=1.0, p50_ms=0.6, p99_ms=1.2, failed=0),),
        "bare": (),
    },
    faults={"bare": "it still writes or counts; mend bare_worker.py"},
    resident_mb=90.0,
    shadow_scored=None,
)
RUN = Run(
    at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC),
    machine="a machine",
    load_before=0.0,
    rounds=1,
    seconds=1,
    generator="wrk",
    versions={"flyball": "0.1.0"},
    measured={LIGHTGBM_16: ONE},
    overload=Overload(rounds=(Round(peak=PEAK, crowd=CROWD),), fault=None),
    claims=[
        Claim(case="a", asked="much", reached="much", met=True),
        Claim(case="b", asked="much", reached="little", met=False),
        Claim(case="c", asked="much", reached="bare: no answer", met=None),
    ],
    peers=[],
    skipped={"mlserver": "no network"},
)


def lines(run: Run) -> list[str]:
    return markdown(run).splitlines()


def test_every_claim_is_told_as_met_missed_or_not_measured() -> None:
    """In a row each, with what was asked and what was reached."""
    told = lines(RUN)
    assert "| a | much | much | met |" in told
    assert "| b | much | little | **not met** |" in told
    assert "| c | much | bare: no answer | not measured |" in told


def test_a_server_is_told_beside_the_echo_of_its_case() -> None:
    """20,000 answers a second of 30,000."""
    assert "| **Flyball** | 20,000 | 0.667 | 0.60 | 1.20 | 0% |" in lines(RUN)


def test_invalid_figures_are_not_told() -> None:
    """Their reason stands in their place."""
    bare = (
        "| Flyball without journal and metrics | invalid: it still writes or counts; mend bare_worker.py |  |  |  |  |"
    )
    assert bare in lines(RUN)


def test_each_crowd_is_told_beside_its_own_peak() -> None:
    """810 answers in time in nine seconds are 90 a second, of a peak of 100."""
    told = lines(RUN)
    assert "### 1,000 rows at 2 x capacity" in told
    assert "| 1 | 100.0 | 200.0 | 90.0 | 4.4 | 100.0 | 5.6 | 0.900 |" in told


def test_an_overload_that_says_nothing_is_marked() -> None:
    """Above its rounds, if there are any."""
    broken = replace(RUN, overload=Overload(rounds=(), fault="the crowd ended with 1"))
    assert "Invalid: the crowd ended with 1." in lines(broken)


def test_a_peer_that_was_left_out_is_told_with_the_reason() -> None:
    """Nobody has to guess who is missing."""
    assert "MLServer was left out: no network" in lines(RUN)
