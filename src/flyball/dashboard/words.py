"""Numbers, times and names as a person reads them on a page. Pure."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime

NONE = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"

#: metric -> how it is written.
_WRITTEN = {
    "auc": "AUC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "rmse": "RMSE",
    "mae": "MAE",
    "r2": "R²",
    "ece": "ECE",
}
_VERDICTS = {"cannot_judge": "cannot judge", "immature": "labels not in yet", "below": "below its promise"}


def metric_name(name: str) -> str:
    """`auc` -> `AUC`, `average_precision` -> `average precision`."""
    return _WRITTEN.get(name, name.replace("_", " "))


def verdict_name(verdict: str) -> str:
    return _VERDICTS.get(verdict, verdict.replace("_", " "))


def figure(value: float | None) -> str:
    """A metric to a thousandth below 10, to four digits below 1,000, whole above; a dash for none."""
    if value is None:
        return NONE
    size = abs(value)
    return f"{value:.3f}" if size < 10 else f"{value:.4g}" if size < 1000 else f"{value:,.0f}"


def signed(value: float | None) -> str:
    """A difference, its sign always shown, with a true minus."""
    return NONE if value is None else f"{value:+.3f}".replace("-", MINUS)


def interval(low: float | None, high: float | None) -> str:
    """`[0.681, 0.707]`; nothing where it cannot be judged."""
    return "" if low is None or high is None else f"[{figure(low)}, {figure(high)}]"


def milliseconds(value: float | None) -> str:
    """`0.21 ms`, `2.0 ms`, `14 ms`, `1.2 s`."""
    if value is None:
        return NONE
    if value >= 1000:
        return f"{value / 1000:.1f} s"
    return f"{value:.{0 if value >= 10 else 1 if value >= 1 else 2}f} ms"


def subject(text: str) -> str:
    """A run's 32 hex digits shortened to the 12 that every command accepts; anything else as it is."""
    return text[:12] if re.fullmatch("[0-9a-f]{32}", text) else text


def count(value: int | None) -> str:
    return NONE if value is None else f"{value:,}"


def when(at: datetime | None) -> str:
    """`2013-07-08 05:00 UTC`."""
    return NONE if at is None else at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def day(at: date | datetime | None) -> str:
    return NONE if at is None else at.strftime("%Y-%m-%d")
