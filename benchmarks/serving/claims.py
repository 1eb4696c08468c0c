"""What was asked of serving, and what a run reached. Pure: measurements in, rows of a table out."""

from __future__ import annotations

import operator
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.serving.cases import (
    ALONE,
    BARE,
    COLUMNS,
    COSTS,
    ECHO,
    FLYBALL,
    FOREST_16,
    LIGHTGBM_16,
    NATIVE,
    NATIVE_64,
    RECORDS,
    SHADOW,
    SWAPPING,
    SWAPS,
    Measured,
)
from benchmarks.serving.load import Load
from benchmarks.serving.overload import HEAVY, Overload
from benchmarks.serving.peers import FASTAPI, PEERS
from benchmarks.serving.replacement import Replacement
from benchmarks.serving.start import UNWANTED, Start

RATE: Callable[[Load], float] = operator.attrgetter("requests_per_s")
P99: Callable[[Load], float] = operator.attrgetter("p99_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One line of what was asked."""

    case: str
    asked: str
    reached: str
    #: None: could not be measured; `reached` says why.
    met: bool | None


def ratio(measured: Measured, of: str, to: str, by: Callable[[Load], float] = RATE) -> float | None:
    """The median over rounds of one server's figure over the other's; None where either has no valid rounds."""
    if {of, to} & measured.faults.keys() or not (measured.rounds.get(of) and measured.rounds.get(to)):
        return None
    pairs = zip(measured.rounds[of], measured.rounds[to], strict=True)
    return statistics.median(by(one) / by(other) for one, other in pairs)


def claims(measured: Mapping[str, Measured], start: Start, replacement: Replacement, overload: Overload) -> list[Claim]:
    """The table, in the order in which things were asked. `measured`: by the case's name."""
    one, forest, columns, records = (measured[case.name] for case in (LIGHTGBM_16, FOREST_16, COLUMNS, RECORDS))
    costs = measured[COSTS.name]
    return [
        _times(LIGHTGBM_16.name, one, ECHO, "bare ASGI echo", 0.5),
        _times(LIGHTGBM_16.name, one, FASTAPI.name, FASTAPI.title, 10),
        _times(FOREST_16.name, forest, FASTAPI.name, FASTAPI.title, 60),
        _times(COLUMNS.name, columns, ECHO, "bare ASGI echo of the same body", 0.4),
        _times(RECORDS.name, records, ECHO, "bare ASGI echo of the same body", 0.25),
        _ahead(columns),
        _p99(one),
        _cost("journal and metrics on, against neither", costs, FLYBALL, 0.15),
        _cost("a shadow version too, against neither", costs, SHADOW, 0.35),
        _scored(costs),
        _gathered(measured[NATIVE_64.name]),
        _swapped(measured[SWAPS.name]),
        _goodput(overload),
        *_of_start(one, start),
        _replaced(replacement),
    ]


def _times(case: str, measured: Measured, to: str, title: str, least: float) -> Claim:
    reached = ratio(measured, FLYBALL, to)
    asked = f"at least {least:g} x {title}"
    if reached is None:
        return _unknown(case, asked, measured, FLYBALL, to)
    return Claim(case=case, asked=asked, reached=f"{_three(reached)} x", met=reached >= least)


def _ahead(measured: Measured) -> Claim:
    """Against the fastest of the peers that could be measured; at least one must be."""
    asked = "ahead of every peer in its own best form"
    ratios = {peer.title: times for peer in PEERS if (times := ratio(measured, FLYBALL, peer.name)) is not None}
    if not ratios:
        return _unknown(COLUMNS.name, asked, measured, FLYBALL, *(peer.name for peer in PEERS))
    nearest = min(ratios, key=ratios.__getitem__)
    reached = f"{_three(ratios[nearest])} x {nearest}, the fastest of {len(ratios)} measured"
    return Claim(case=COLUMNS.name, asked=asked, reached=reached, met=ratios[nearest] > 1)


def _p99(measured: Measured) -> Claim:
    case, asked, reached = LIGHTGBM_16.name, "p99 at most 3 x echo's", ratio(measured, FLYBALL, ECHO, P99)
    if reached is None:
        return _unknown(case, asked, measured, FLYBALL, ECHO)
    return Claim(case=case, asked=asked, reached=f"{_three(reached)} x", met=reached <= 3)


def _cost(case: str, measured: Measured, of: str, most: float) -> Claim:
    asked, kept = f"costs at most {most:.0%} of throughput", ratio(measured, of, BARE)
    if kept is None:
        return _unknown(case, asked, measured, of, BARE)
    return Claim(case=case, asked=asked, reached=f"{1 - kept:.1%}", met=kept >= 1 - most)


def _scored(measured: Measured) -> Claim:
    case, asked, share = "a shadow version too", "at least 95% of rows scored", measured.shadow_scored
    if share is None or SHADOW in measured.faults:
        return _unknown(case, asked, measured, SHADOW)
    return Claim(case=case, asked=asked, reached=f"{share:.2%}", met=share >= 0.95)


def _gathered(measured: Measured) -> Claim:
    case, asked, gain = NATIVE_64.name, "at least 4 x one call a request", ratio(measured, NATIVE, ALONE)
    if gain is None:
        return _unknown(case, asked, measured, NATIVE, ALONE)
    return Claim(case=case, asked=asked, reached=f"{_three(gain)} x", met=gain >= 4)


def _swapped(measured: Measured) -> Claim:
    case, asked, reached = SWAPS.name, "p99 during the swap at most 2 x", ratio(measured, SWAPPING, FLYBALL, P99)
    if reached is None:
        return _unknown(case, asked, measured, SWAPPING, FLYBALL)
    return Claim(case=case, asked=asked, reached=f"{_three(reached)} x", met=reached <= 2)


def _of_start(measured: Measured, start: Start) -> Iterator[Claim]:
    case, seconds, memory = "one worker, compiled LightGBM", start.first_answer_s, measured.resident_mb
    yield Claim(case=case, asked="first answer within 1.5 s", reached=f"{seconds:.2f} s", met=seconds <= 1.5)
    yield Claim(case=case, asked="at most 150 MB resident, loaded", reached=f"{memory:.0f} MB", met=memory <= 150)
    found = f"{', '.join(start.unwanted) or 'none of them'} among {start.modules} modules"
    yield Claim(case=case, asked=f"{', '.join(UNWANTED)} not imported", reached=found, met=not start.unwanted)


def _goodput(overload: Overload) -> Claim:
    case, asked, reached = HEAVY.name, "goodput at least 0.8 of peak", overload.goodput()
    if reached is None:
        return Claim(case=case, asked=asked, reached=overload.fault or "not measured", met=None)
    return Claim(case=case, asked=asked, reached=f"{_three(reached)} of peak", met=reached >= 0.8)


def _replaced(replacement: Replacement) -> Claim:
    case, asked, reached = "the only worker killed", "replaced within 1 s", replacement.median_s()
    if reached is None:
        return Claim(case=case, asked=asked, reached=replacement.fault or "not measured", met=None)
    slowest = f"the slowest of {len(replacement.taken_s)} {max(replacement.taken_s):.2f} s"
    return Claim(case=case, asked=asked, reached=f"{reached:.2f} s, {slowest}", met=reached <= 1)


def _unknown(case: str, asked: str, measured: Measured, *servers: str) -> Claim:
    return Claim(case=case, asked=asked, reached="; ".join(_whys(measured, servers)), met=None)


def _whys(measured: Measured, servers: Sequence[str]) -> Iterator[str]:
    for server in servers:
        if server in measured.faults:
            yield f"{server}: {measured.faults[server]}"
        elif not measured.rounds.get(server):
            yield f"{server}: not measured"


def _three(value: float) -> str:
    """Three digits: 0.512, 13.4, 1,234."""
    return f"{value:,.{max(0, 2 - max(0, len(str(int(value))) - 1))}f}" if value >= 1 else f"{value:.3f}"
