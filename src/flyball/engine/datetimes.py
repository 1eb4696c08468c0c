"""Columns of times in pandas tables, as instants and as the text of `engine.timestamps`, and back again.

Imports pandas only when called, which whoever has a table has done already.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from flyball.engine.timestamps import Spelling
from flyball.errors import Mistake

#: datetime64[us], UTC where the column has a zone; NaT is missing.
Instants = npt.NDArray[np.datetime64]

#: what a canonical text can say.
_FIRST, _END = np.datetime64("0001-01-01", "us"), np.datetime64("10000-01-01", "us")


def zone_of(name: str, series: Any) -> str | None:
    """The name of the zone that a column of times is in; None: it has none. Raises `Mistake` where that is unclear."""
    times = _times(series)
    zones = [times.dt.tz] if times.dtype != object else [getattr(value, "tzinfo", None) for value in times.dropna()]
    return _named(name, {None if zone is None else str(zone) for zone in zones})


def stamp_column(name: str, series: Any, spelling: Spelling) -> npt.NDArray[np.object_]:
    """A column of times, or of their texts, in canonical spelling; missing values are "". Raises `Mistake`."""
    values = _times(series)
    if values.dtype == object:
        found = set(map(type, values.dropna()))
        if found and all(issubclass(item, str) for item in found):
            return _respelt(name, values, spelling)
        if wrong := [item.__name__ for item in found if not issubclass(item, date)]:
            raise Mistake(
                f"column {name!r} holds {', '.join(wrong)} values, needs times; convert it by pandas.to_datetime"
            )
    if values.notna().any() and (zone_of(name, values) is not None) is not spelling.zoned:
        has, needs = ("no zone", "one, as in training") if spelling.zoned else ("a zone", "none, as in training")
        raise Mistake(f"column {name!r} holds times with {has}, needs {needs}; convert it by .dt.tz_localize")
    texts = text_of(name, instants(name, values), zoned=spelling.zoned)
    if not all(spelling.holds(text) for text in texts if text):
        raise Mistake(f"column {name!r} holds times that are not from {' to '.join(spelling.range)}; make them missing")
    return texts


def instants(name: str, series: Any) -> Instants:
    """The instants of a column of times. What is finer than a microsecond is cut off. Raises `Mistake`."""
    try:
        times = _times(series)
        if times.dtype == object:
            known = zip(times, times.notna(), strict=True)
            return np.array([_instant(value) if there else None for value, there in known], dtype="datetime64[us]")
        plain = times if times.dt.tz is None else times.dt.tz_convert("UTC").dt.tz_localize(None)
        return np.asarray(plain.to_numpy(), dtype="datetime64").astype("datetime64[us]")
    except OverflowError as error:
        raise _beyond(name) from error


def text_of(name: str, times: Instants, *, zoned: bool) -> npt.NDArray[np.object_]:
    """Instants in canonical spelling. Raises `Mistake`, naming the column, beyond the years 1 to 9999."""
    missing = np.isnat(times)
    if ((times < _FIRST) | (times >= _END)).any():
        raise _beyond(name)
    texts: npt.NDArray[np.object_] = np.datetime_as_string(times, unit="us").astype(np.object_)
    if zoned:
        texts += "Z"
    texts[missing] = ""
    return texts


def series_of(texts: npt.NDArray[np.object_], zone: str | None) -> Any:
    """Canonical texts as a column of datetime64[us], in `zone` where there is one. Raises ValueError for other texts."""
    import pandas as pd  # slow

    known = [text for text in texts.tolist() if text]
    if any(text.endswith("Z") is (zone is None) for text in known):
        raise ValueError("times with and without a zone are not the same")
    plain = np.array([text.removesuffix("Z") for text in texts.tolist()], dtype="datetime64[us]")  # "" is NaT
    times = pd.Series(plain)
    return times if zone is None else times.dt.tz_localize("UTC").dt.tz_convert(zone)


def _times(series: Any) -> Any:
    """As datetime64, or else, as dates are, as objects."""
    from pandas.api import types  # slow: pandas

    is_plain = types.is_datetime64_any_dtype(series.dtype) and series.dtype.type is not date
    return series if is_plain else series.astype(object)


def _named(name: str, zones: set[str | None]) -> str | None:
    if len(zones) > 1:
        raise Mistake(
            f"column {name!r} holds times of several zones, or with and without one; "
            "convert it by pandas.to_datetime(..., utc=True)"
        )
    zone = next(iter(zones), None)
    if zone is None:
        return None
    try:
        if not zone.startswith("UTC"):  # UTC itself, and the fixed offsets: UTC+02:00
            ZoneInfo(zone)
    except (KeyError, OSError, ValueError) as error:
        raise Mistake(
            f"column {name!r} holds times of a zone without a name; convert it by .dt.tz_convert('Europe/Berlin'), or 'UTC'"
        ) from error
    return zone


def _respelt(name: str, values: Any, spelling: Spelling) -> npt.NDArray[np.object_]:
    texts = np.empty(len(values), dtype=np.object_)
    for at, (row, text) in enumerate(values.where(values.notna(), "").items()):
        try:
            texts[at] = spelling.canonical(text)
        except ValueError as error:
            raise Mistake(f"row {row}: column {name!r}: {error}") from error
    return texts


def _instant(value: date) -> datetime:
    """Without zone, in UTC where it had one; a date's is its midnight."""
    if not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)
    return value if value.tzinfo is None else value.astimezone(UTC).replace(tzinfo=None)


def _beyond(name: str) -> Mistake:
    return Mistake(f"column {name!r} holds times beyond the years 1 to 9999 in UTC; make them missing before training")
