"""What a run's measurements say about what was asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.serving.cases import COLUMNS, COSTS, FOREST_16, LIGHTGBM_16, NATIVE_64, RECORDS, SWAPS, Measured
from benchmarks.serving.claims import P99, Claim, claims, ratio
from benchmarks.serving.load import Load
from benchmarks.serving.overload import HEAVY, Crowd, Overload, Round
from benchmarks.serving.replacement import Replacement
from benchmarks.serving.start import Start

START = Start(first_answer_s=0.5, modules=400, unwanted=())
REPLACEMENT = Replacement(taken_s=(0.7,), fault=None)
CASES = {
    "one": LIGHTGBM_16,
    "costs": COSTS,
    "forest": FOREST_16,
    "columns": COLUMNS,
    "records": RECORDS,
    "native": NATIVE_64,
    "swaps": SWAPS,
}


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


def overloaded(*good: int, broken: int = 0, asked: int = 2000, failed: int = 0) -> Overload:
    """A round for each number of answers in time, in ten seconds after a peak of 100 a second."""
    peak = Load(answers=100, seconds=1.0, p50_ms=1.0, p99_ms=1.0, failed=failed)
    none = Crowd(asked=asked, good=0, after=0, refused=0, left=0, broken=broken, seconds=10.0)
    rounds = tuple(Round(peak=peak, crowd=replace(none, good=each)) for each in good)
    return Overload(rounds=rounds, fault=next(filter(None, (each.fault() for each in rounds)), None))


def claimed(
    start: Start = START, replacement: Replacement = REPLACEMENT, overload: Overload | None = None, **cases: Measured
) -> dict[tuple[str, str], Claim]:
    """All claims, where what is not given was measured well."""
    good = measured(echo=1000, swapping=700, flyball=700, bare=750, shadow=600, fastapi=10)
    figures = {case.name: cases.get(short, good) for short, case in CASES.items()}
    found = claims(figures, start, replacement, overload or overloaded(900))
    return {(claim.case, claim.asked): claim for claim in found}


def test_all_that_is_asked_has_a_row() -> None:
    """Whoever reads the table sees every one, in this order."""
    worker, shadow = "one worker, compiled LightGBM", "a shadow version too"
    assert list(claimed()) == [
        (LIGHTGBM_16.name, "at least 0.5 x bare ASGI echo"),
        (LIGHTGBM_16.name, "at least 10 x FastAPI by hand"),
        (FOREST_16.name, "at least 60 x FastAPI by hand"),
        (COLUMNS.name, "at least 0.4 x bare ASGI echo of the same body"),
        (RECORDS.name, "at least 0.25 x bare ASGI echo of the same body"),
        (COLUMNS.name, "ahead of every peer in its own best form"),
        (LIGHTGBM_16.name, "p99 at most 3 x echo's"),
        ("journal and metrics on, against neither", "costs at most 15% of throughput"),
        ("a shadow version too, against neither", "costs at most 35% of throughput"),
        (shadow, "at least 95% of rows scored"),
        (NATIVE_64.name, "at least 4 x one call a request"),
        (SWAPS.name, "p99 during the swap at most 2 x"),
        (HEAVY.name, "goodput at least 0.8 of peak"),
        (worker, "first answer within 1.5 s"),
        (worker, "at most 150 MB resident, loaded"),
        (worker, "mlflow, pandas, sklearn not imported"),
        ("the only worker killed", "replaced within 1 s"),
    ]


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
    costs = measured(echo=1000, bare=1000, flyball=flyball)
    claim = claimed(costs=costs)["journal and metrics on, against neither", "costs at most 15% of throughput"]
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


@pytest.mark.parametrize(("good", "met", "reached"), [(800, True, "0.800 of peak"), (799, False, "0.799 of peak")])
def test_goodput_is_what_is_answered_in_time_over_the_peak(good: int, met: bool, reached: str) -> None:
    """800 answers in ten seconds are 80 a second, of a peak of 100."""
    claim = claimed(overload=overloaded(good))[HEAVY.name, "goodput at least 0.8 of peak"]
    assert (claim.met, claim.reached) == (met, reached)


def test_goodput_is_the_median_of_the_rounds() -> None:
    """One round in which the machine was busy with something else decides nothing."""
    assert overloaded(900, 300, 850).goodput() == 0.85


@pytest.mark.parametrize(
    ("overload", "why"),
    [
        (overloaded(900, broken=3), "3 of 2000 requests were neither answered nor refused with 503"),
        (overloaded(900, asked=1899), "only 1899 requests were sent where 2000 should have been"),
        (overloaded(900, failed=1), "1 of 100 answers failed at the peak"),
        (overloaded(), "not measured"),
    ],
)
def test_an_overload_that_was_none_or_broke_something_leaves_its_claim_open(overload: Overload, why: str) -> None:
    """The fault is told in place of the figure."""
    claim = claimed(overload=overload)[HEAVY.name, "goodput at least 0.8 of peak"]
    assert (claim.met, claim.reached) == (None, why)


@pytest.mark.parametrize(
    ("taken_s", "met", "reached"),
    [
        ((0.5, 1.5, 1.0), True, "1.00 s, the slowest of 3 1.50 s"),
        ((1.1,), False, "1.10 s, the slowest of 1 1.10 s"),
    ],
)
def test_a_killed_worker_is_replaced_within_a_second(taken_s: tuple[float, ...], met: bool, reached: str) -> None:
    """The median of all deaths counts, the slowest is told."""
    claim = claimed(replacement=Replacement(taken_s=taken_s, fault=None))[
        "the only worker killed", "replaced within 1 s"
    ]
    assert (claim.met, claim.reached) == (met, reached)


def test_a_worker_that_nobody_replaced_leaves_its_claim_open() -> None:
    """Though the deaths before were made good in time."""
    gone = Replacement(taken_s=(0.7,), fault="nobody answered for 60 s")
    claim = claimed(replacement=gone)["the only worker killed", "replaced within 1 s"]
    assert (claim.met, claim.reached) == (None, "nobody answered for 60 s")


def test_a_worker_that_starts_late_and_imports_what_it_must_not_misses() -> None:
    """The packages are named."""
    found = claimed(start=Start(first_answer_s=1.6, modules=900, unwanted=("pandas",)))
    worker = "one worker, compiled LightGBM"
    assert found[worker, "first answer within 1.5 s"].met is False
    assert found[worker, "at most 150 MB resident, loaded"].met is True
    imports = found[worker, "mlflow, pandas, sklearn not imported"]
    assert (imports.met, imports.reached) == (False, "pandas among 900 modules")
