"""The governor: should this model be trained again now? Pure; every answer has a reason a person can read.

A signal (a schedule's slot, a drifted day, a broken promise, enough new rows) is considered once. What keeps a signal
from becoming a retrain is named: mode, a freeze or a rollback's hold, broken data, one in flight, cooldown, budget, too
few new labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from flyball.project.records import RetrainSettings, Trigger


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """Something that asks for a retrain."""

    trigger: Trigger
    #: what makes it this one and no other: a slot's time, a day.
    identity: str
    #: one clause: "temp and dewp drifted on 2013-04-02".
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What the governor must know about the model's runs."""

    #: decision time of the newest run that did not fail; None before the first.
    last_run: datetime | None
    #: whether that run's candidate was refused.
    last_refused: bool = False
    #: retrains decided within the budget's window; the first version is none.
    runs_in_budget: int
    in_flight: bool
    #: outcomes that came true since the newest run.
    new_labels: int
    #: what keeps Flyball from acting by itself, in a clause; None where nothing does.
    held: str | None = None
    #: what is broken in the newest rows, in a clause; None where they are whole, or nobody can tell.
    broken: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """The answer."""

    act: Literal["retrain", "suggest", "hold"]
    #: the signal that decided; the others came at the same time.
    signal: Signal
    reason: str


#: when several signals come at once, the first of these names the reason.
_RANK: tuple[Trigger, ...] = ("performance", "drift", "schedule", "volume")


def rule(signals: Sequence[Signal], past: Past, settings: RetrainSettings, now: datetime) -> Ruling | None:
    """The ruling on this moment's signals; None when there is none."""
    asked = [signal for signal in signals if signal.trigger in settings.on]
    if not asked:
        return None
    signal = min(asked, key=lambda item: _RANK.index(item.trigger))
    obstacle = _obstacle(past, settings, now)
    if obstacle is not None:
        return Ruling(act="hold", signal=signal, reason=f"{signal.why}; not retrained: {obstacle}")
    if settings.mode == "suggest":
        return Ruling(act="suggest", signal=signal, reason=f"{signal.why}; retrain suggested (mode = suggest)")
    return Ruling(act="retrain", signal=signal, reason=f"{signal.why}; {_since(past, now)}")


def _obstacle(past: Past, settings: RetrainSettings, now: datetime) -> str | None:
    if settings.mode == "off":
        return "mode = off"
    if past.held is not None:
        return past.held
    if past.broken is not None:
        return f"{past.broken}; nothing is learnt from broken data"
    if past.in_flight:
        return "a run is under way"
    if past.last_run is not None and not cooled_down(past, settings, now):
        after = " after a refusal" if past.last_refused else ""
        return f"{_days(now - past.last_run)} since the last run, cooldown is {_days(_cooldown(past, settings))}{after}"
    if settings.budget is not None and past.runs_in_budget >= settings.budget:
        window = _days(timedelta(seconds=settings.budget_window_s))
        return f"{past.runs_in_budget} runs in {window}, the budget is {settings.budget}"
    if past.new_labels < settings.min_new_labels:
        return f"{past.new_labels:,} new outcomes since the last run, {settings.min_new_labels:,} are needed"
    return None


def rows_wanted(settings: RetrainSettings, trained_rows: int, *, last_refused: bool) -> int | None:
    """New rows with outcomes that make a volume signal; None where volume asks for nothing.

    A share is of `trained_rows`, those the live version was trained on. What a model learns from more rows shrinks as a
    power of their number (Hestness et al. 2017, arXiv:1712.00409), so equal shares, not equal counts, are equal steps: a
    young model is trained again soon, an old one seldom. Half as many after a refusal, as with the cooldown.
    """
    if settings.new_rows_share is None:
        return settings.new_rows
    return max(1, round(trained_rows * settings.new_rows_share / (2 if last_refused else 1)))


def cooled_down(past: Past, settings: RetrainSettings, now: datetime) -> bool:
    """Whether enough time has gone by since the last run."""
    return past.last_run is None or now - past.last_run >= _cooldown(past, settings)


def _cooldown(past: Past, settings: RetrainSettings) -> timedelta:
    """Half as long after a refusal: what is live has not changed, and the world goes on moving away from it."""
    return timedelta(seconds=settings.cooldown_s / 2 if past.last_refused else settings.cooldown_s)


def _since(past: Past, now: datetime) -> str:
    return "first run" if past.last_run is None else f"{_days(now - past.last_run)} since the last run"


def _days(span: timedelta) -> str:
    days = span / timedelta(days=1)
    if days < 1:
        return f"{span / timedelta(hours=1):.0f} h"
    return f"{days:.0f} day" if round(days) == 1 else f"{days:.0f} days"
