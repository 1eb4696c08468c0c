"""What a model's windows are judged by, and when what they rest on has had its time. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from flyball.monitor.windows import Window
from flyball.project.records import OutcomeSettings
from flyball.project.rules import Rule

LABEL = OutcomeSettings(name="label", kind="label", window_s=None, missing="unknown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a model's windows are judged by; the same for all of them."""

    model: str
    task: str
    rule: Rule | None
    confidence: float
    #: the labels of a multiclass model; None = those that occur.
    classes: tuple[str, ...] | None = None
    #: of a binary model, what counts as 1.
    positive: str | None = None
    primary: str | None = None
    slices: tuple[str, ...] = ()
    outcomes: tuple[OutcomeSettings, ...] = (LABEL,)
    #: after a window's end, when its labels are complete as far as the settings know.
    label_delay_s: float = 0.0
    false_alarms: float = 0.01

    @property
    def label(self) -> OutcomeSettings:
        return next((item for item in self.outcomes if item.kind == "label"), LABEL)


def due_at(question: Question, outcome: OutcomeSettings, window: Window) -> datetime:
    """When an outcome of the window's predictions has had its time: its own window, else the label's delay; of the label both."""
    delay_s = question.label_delay_s if outcome.window_s is None else outcome.window_s
    if outcome.kind == "label":
        delay_s = max(delay_s, question.label_delay_s)
    return window[1] + timedelta(seconds=delay_s)
