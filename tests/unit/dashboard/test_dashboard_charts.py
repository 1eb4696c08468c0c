"""Charts as markup: well formed, escaped, nothing claimed that was not measured."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from datetime import UTC, date, datetime, timedelta

from flyball.dashboard.charts import chart_span, drift_chart, metric_chart, sparkline
from flyball.dashboard.records import DayMetric, FeatureDrift, Tenure, Window

FIRST = date(2013, 3, 1)


def metric(offset: int, value: float = 0.7, *, version: int = 1, band: bool = True) -> DayMetric:
    return DayMetric(
        day=FIRST + timedelta(days=offset),
        version=version,
        value=value,
        low=value - 0.02 if band else None,
        high=value + 0.02 if band else None,
        rows=1812,
        verdict="kept",
    )


def tenure(generation: int, version: int, offset: int) -> Tenure:
    start = datetime(2013, 3, 1, 5, tzinfo=UTC) + timedelta(days=offset)
    return Tenure(generation=generation, version=version, shadow=(), start=start, until=None, who="flyball", why="")


def window(offset: int, verdict: str, alarming: tuple[str, ...] = ()) -> Window:
    start = datetime(2013, 3, 1, 5, tzinfo=UTC) + timedelta(days=offset)
    features = tuple(FeatureDrift(feature=name, verdict="drift", why="", statistics=()) for name in alarming)
    return Window(
        kind="drift",
        day=FIRST + timedelta(days=offset),
        start=start,
        ends=start + timedelta(days=1),
        version=1,
        verdict=verdict,
        rows=900,
        features=features,
    )


def classes(markup: str, tag: str) -> list[str]:
    root = ET.fromstring(str(markup))
    return [item.get("class", "") for item in root.iter() if item.tag == tag]


def test_a_spark_of_one_day_is_nothing() -> None:
    """One point is no line; its number stands beside it."""
    assert sparkline([metric(0)], "auc") == ""


def test_a_spark_says_in_words_what_it_draws() -> None:
    """A screen reader gets both ends."""
    label = ET.fromstring(str(sparkline([metric(0, 0.72), metric(1, 0.69)], "auc"))).get("aria-label")
    assert label == "AUC from 0.720 on 2013-03-01 to 0.690 on 2013-03-02"


def test_a_day_tells_its_numbers_under_the_pointer() -> None:
    """Date, version, metric, interval, rows and verdict."""
    days = [metric(0), metric(1)]
    chart = metric_chart(days, "auc", [tenure(1, 1, 0)], (FIRST, FIRST + timedelta(days=1)))
    assert "2013-03-01 · v1 · AUC 0.700 [0.680, 0.720] · 1,812 rows with outcomes · kept" in chart


def test_the_line_breaks_where_the_version_changes() -> None:
    """Two versions are two lines and two bands."""
    days = [metric(0), metric(1), metric(2, version=2), metric(3, version=2)]
    chart = metric_chart(days, "auc", [], (FIRST, FIRST + timedelta(days=3)))
    assert classes(chart, "path").count("line") == 2
    assert classes(chart, "path").count("band") == 2


def test_the_line_breaks_over_a_hole_of_more_than_a_week() -> None:
    """Seven days apart are joined, eight are not."""
    span = (FIRST, FIRST + timedelta(days=30))
    joined = metric_chart([metric(0), metric(7)], "auc", [], span)
    broken = metric_chart([metric(0), metric(8)], "auc", [], span)
    assert classes(joined, "path").count("line") == 1
    assert classes(broken, "path").count("line") == 2


def test_a_day_without_interval_has_no_band() -> None:
    """What cannot be judged is not drawn."""
    chart = metric_chart([metric(0, band=False), metric(1, band=False)], "auc", [], (FIRST, FIRST + timedelta(days=1)))
    assert "band" not in classes(chart, "path")


def test_a_mark_stands_where_another_version_went_live_and_only_there() -> None:
    """A deployment that only adds a shadow is no mark; one after the last day is none either."""
    history = [tenure(4, 3, 90), tenure(3, 2, 5), tenure(2, 1, 2), tenure(1, 1, 0)]
    chart = metric_chart([metric(0), metric(9)], "auc", history, (FIRST, FIRST + timedelta(days=9)))
    root = ET.fromstring(str(chart))
    assert [item.text for item in root.iter("text") if item.get("class") == "version"] == ["v1", "v2"]
    assert classes(chart, "path").count("switch") == 2


def test_drift_rows_are_the_features_that_alarmed_most_often_first() -> None:
    """Each window one verdict cell, each alarm one more."""
    windows = [window(0, "steady"), window(1, "drift", ("dewp", "temp")), window(2, "drift", ("temp",))]
    chart = drift_chart(windows, [], (FIRST, FIRST + timedelta(days=2)))
    root = ET.fromstring(str(chart))
    assert [item.text for item in root.iter("text") if item.get("class") == "y"] == ["verdict", "temp", "dewp"]
    assert sorted(classes(chart, "rect")) == ["cell drift"] * 5 + ["cell steady"]


def test_an_unknown_verdict_is_drawn_as_not_judged() -> None:
    """Never as steady."""
    chart = drift_chart([window(0, "cannot_judge")], [], (FIRST, FIRST))
    assert classes(chart, "rect") == ["cell cannot"]


def test_hostile_names_are_escaped() -> None:
    """Feature names come from users' data."""
    name = '"><script>alert(1)</script>'
    chart = drift_chart([window(0, "drift", (name,))], [], (FIRST, FIRST))
    assert "<script>" not in chart
    assert ET.fromstring(str(chart)) is not None


def test_both_charts_of_a_page_share_their_days() -> None:
    """From the first window to the last metric; nothing at all has no span."""
    assert chart_span([metric(5)], [window(1, "steady")]) == (FIRST + timedelta(days=1), FIRST + timedelta(days=5))
    assert chart_span([], []) is None
