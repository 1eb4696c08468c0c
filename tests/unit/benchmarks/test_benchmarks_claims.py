"""What a run's measurements say about what was asked."""

from __future__ import annotations

import pytest

from benchmarks.serving.cases import COLUMNS, FOREST_16, LIGHTGBM_16, NATIVE_64, RECORDS, SWAPS, Measured
from benchmarks.serving.claims import P99, Claim, claims, ratio
from benchmarks.serving.load import Load
from benchmarks.serving.start import Start

START = Start(first_answer_s=0.5, modules=400, unwanted=(), replaced_s=0.7)


def loads(*rates: int, p99_ms: float = 1.0) -> tuple[Load, ...]:
    """One round for each rate, of one second."""
    return tuple(Load(answers=rate, seconds=1.0, p50_ms=0.5, p99_ms=p99_ms, failed=0) for rate in rates)


def measured(shadow_scored: float | None = 1.0, faults: dict[str, str] | None = None, **rounds: int) -> Measured:
    return Measured(
        rounds={name: loads(rate) for name, rate in rounds.items()},
        faults=faults or {},
        resident_mb=90.0,
        shadow_scored=shadow_scored,
    )


def claimed(**cases: Measured) -> dict[tuple[str, str], Claim]:
    """All claims, where cases that are not given are measured well."""
    good = measured(echo=1000, swapping=700, flyball=700, bare=750, shadow=600, fastapi=10)
    names = {
        "one": LIGHTGBM_16,
        "forest": FOREST_16,
        "columns": COLUMNS,
        "records": RECORDS,
        "native": NATIVE_64,
        "swaps": SWAPS,
    }
    found = claims({case.name: cases.get(short, good) for short, case in names.items()}, START)
    return {(claim.case, claim.asked): claim for claim in found}


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    """Rounds 1/2, 3/4 and 9/10 have the median 0.75; the ratio of the medians would be 3/4 of other rounds."""
    two = Measured(rounds={"a": loads(1, 9, 3), "b": loads(2, 10, 4)}, faults={}, resident_mb=1.0, shadow_scored=None)
    assert ratio(two, "a", "b") == 0.75


def test_a_ratio_of_latencies_is_taken_the_same_way() -> None:
    """p99 of 6 ms over 2 ms is 3."""
    two = Measured(
        rounds={"a": loads(1, p99_ms=6.0), "b": loads(1, p99_ms=2.0)}, faults={}, resident_mb=1.0, shadow_scored=None
    )
    assert ratio(two, "a", "b", P99) == 3.0


def test_there_is_no_ratio_to_a_server_with_a_fault_or_without_rounds() -> None:
    """A figure that says nothing is not quoted."""
    faulty = measured(faults={"echo": "3 of 9 answers failed"}, flyball=5, echo=5)
    assert ratio(faulty, "flyball", "echo") is None
    assert ratio(measured(flyball=5), "flyball", "echo") is None


def test_what_is_just_reached_is_met() -> None:
    """Half of echo is at least half of echo; one less is not."""
    key = (LIGHTGBM_16.name, "at least 0.5 x bare ASGI echo")
    assert claimed(one=measured(echo=1000, flyball=500))[key].met is True
    assert claimed(one=measured(echo=1000, flyball=499))[key].met is False
    assert claimed(one=measured(echo=1000, flyball=500))[key].reached == "0.500 x"


def test_a_peer_that_was_not_measured_leaves_its_claim_open_and_says_why() -> None:
    """Neither met nor missed."""
    claim = claimed(one=measured(echo=1, flyball=1, faults={"fastapi": "no 200"}))[
        LIGHTGBM_16.name, "at least 10 x FastAPI by hand"
    ]
    assert claim.met is None
    assert claim.reached == "fastapi: no 200"


def test_ahead_of_every_peer_means_of_the_fastest() -> None:
    """Twice as fast as one, slower than the other: not met."""
    columns = measured(echo=1000, flyball=400, fastapi=200, mlserver=500)
    claim = claimed(columns=columns)[COLUMNS.name, "ahead of every peer in its own best form"]
    assert (claim.met, claim.reached) == (False, "0.800 x MLServer, the fastest of 2 measured")


@pytest.mark.parametrize(("flyball", "met"), [(850, True), (849, False)])
def test_what_journal_and_metrics_cost_is_lost_throughput(flyball: int, met: bool) -> None:
    """850 of 1,000 is a cost of 15 %."""
    one = measured(echo=1000, bare=1000, flyball=flyball)
    claim = claimed(one=one)["journal and metrics on, against neither", "costs at most 15% of throughput"]
    assert claim.met is met


def test_what_gathering_gains_is_against_one_call_a_request() -> None:
    """400 against 100 is four times as fast."""
    found = claimed(native=measured(native=400, alone=100))
    assert found[NATIVE_64.name, "at least 4 x one call a request"].met is True


@pytest.mark.parametrize(("p99_ms", "met"), [(2.0, True), (2.1, False)])
def test_what_a_swap_costs_is_the_tail_of_those_who_ask_meanwhile(p99_ms: float, met: bool) -> None:
    """Of the same worker, with changes of versions against without: at most twice as long."""
    rounds = {"flyball": loads(100), "swapping": loads(100, p99_ms=p99_ms)}
    found = claimed(swaps=Measured(rounds=rounds, faults={}, resident_mb=90.0, shadow_scored=None))
    assert found[SWAPS.name, "p99 during the swap at most 2 x"].met is met


def test_swaps_that_failed_a_request_leave_their_claim_open() -> None:
    """The fault is told in place of the figure."""
    found = claimed(swaps=measured(faults={"swapping": "1 answers failed"}, flyball=1, swapping=1))
    claim = found[SWAPS.name, "p99 during the swap at most 2 x"]
    assert (claim.met, claim.reached) == (None, "swapping: 1 answers failed")


def test_a_worker_that_imports_what_it_must_not_misses() -> None:
    """The packages are named."""
    found = claims(
        {case.name: measured() for case in (LIGHTGBM_16, FOREST_16, COLUMNS, RECORDS, NATIVE_64, SWAPS)},
        Start(first_answer_s=1.6, modules=900, unwanted=("pandas",), replaced_s=1.1),
    )
    start, memory, replaced, imports = found[-4:]
    assert (start.met, memory.met, replaced.met, imports.met) == (False, True, False, False)
    assert replaced.reached == "1.10 s"
    assert imports.reached == "pandas among 900 modules"
