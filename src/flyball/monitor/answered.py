"""A window's predictions with what came true of them, read from the lake; windows side by side are read at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from flyball.journal import lake
from flyball.monitor.measured import with_missing_as_zero
from flyball.monitor.question import Question
from flyball.monitor.windows import Window
from flyball.project.records import OutcomeSettings
from flyball.store import Home

#: windows read at once at most: opening files costs more than the rows of a small model, and a large one's must fit.
TOGETHER = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One window's predictions with each declared outcome, as known by a moment."""

    window: Window
    known_by: datetime
    #: outcome's name -> the rows of `journal.lake.scored`, each prediction once, in event order.
    told: Mapping[str, pa.Table]
    #: how many labels came after their own window.
    too_late: int


def answered(home: Home, question: Question, windows: Sequence[Window], known_by: datetime) -> Iterator[Answered]:
    """Every window's predictions; `windows` in time order."""
    for group in groups(windows):
        start, end = group[0][0], group[-1][1]
        told = {item.name: told_of(home, question, item, (start, end), known_by) for item in _outcomes(question)}
        late = _came_too_late(home, question, told[question.label.name], (start, end), known_by)
        for window in group:
            yield Answered(
                window=window,
                known_by=known_by,
                told={name: _between(rows, window) for name, rows in told.items()},
                too_late=sum(window[0] <= at < window[1] for at in late),
            )


def told_of(home: Home, question: Question, outcome: OutcomeSettings, window: Window, known_by: datetime) -> pa.Table:
    """The window's predictions with one outcome, where it came within its own window."""
    scored = _scored(home, question, outcome, window, known_by, outcome.window_s)
    if outcome.window_s is not None and outcome.missing == "0":
        return with_missing_as_zero(scored, window_s=outcome.window_s, known_by=known_by)
    return scored


def _outcomes(question: Question) -> tuple[OutcomeSettings, ...]:
    return (question.label, *(item for item in question.outcomes if item.kind != "label"))


def groups(windows: Sequence[Window]) -> Iterator[list[Window]]:
    """What is read at once: windows that begin where the one before ends, at most TOGETHER of them."""
    group: list[Window] = []
    for window in windows:
        if group and (len(group) == TOGETHER or group[-1][1] != window[0]):
            yield group
            group = []
        group.append(window)
    if group:
        yield group


def _came_too_late(
    home: Home, question: Question, told: pa.Table, window: Window, known_by: datetime
) -> list[datetime]:
    """Times of the predictions whose label came, but after its own window."""
    if question.label.window_s is None:
        return []
    ever = _scored(home, question, question.label, window, known_by, None)
    in_time = told.filter(pc.is_valid(told["label_at"]))["id"]
    came = ever.filter(pc.and_(pc.is_valid(ever["label_at"]), pc.invert(pc.is_in(ever["id"], in_time))))
    found: list[datetime] = came["timestamp"].to_pylist()
    return found


def _scored(
    home: Home,
    question: Question,
    outcome: OutcomeSettings,
    window: Window,
    known_by: datetime,
    window_s: float | None,
) -> pa.Table:
    return lake.scored(
        home,
        question.model,
        *window,
        name=outcome.name,
        known_by=known_by,
        positive=question.positive if outcome.kind == "label" else None,
        window_s=window_s,
        # Slices are values of features, and how large a regression's errors are is told by them.
        features=bool(question.slices) or question.task == "regression",
    )


def _between(rows: pa.Table, window: Window) -> pa.Table:
    times = rows["timestamp"]
    start, end = (pa.scalar(at, times.type) for at in window)
    return rows.filter(pc.and_(pc.greater_equal(times, start), pc.less(times, end)))
