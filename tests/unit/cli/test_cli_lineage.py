"""How a version's data files and its traffic are told."""

from __future__ import annotations

from datetime import UTC, datetime

from flyball.cli.lineage import told_sources, told_traffic
from flyball.cli.reading import periods
from flyball.dashboard.records import Tenure
from tests.unit.cli.conftest import day


def test_data_files_are_told_with_what_dvc_says() -> None:
    """Digest; MD5 and commit where it tracks them; and whether the bytes were those."""
    tracked = {"sha256": "a" * 64, "dvc": "x.dvc", "md5": "b" * 32, "state": "as tracked", "revision": "c" * 40}
    loose = {"sha256": "d" * 64, "dvc": "y.dvc", "md5": "e" * 32, "state": "changed"}
    told = told_sources({"x.csv": tracked, "y.csv": loose, "z.csv": {"sha256": "f" * 64}})
    assert told == (
        "x.csv aaaaaaaaaaaa (DVC bbbbbbbbbbbb at cccccccccccc), "
        "y.csv dddddddddddd (DVC eeeeeeeeeeee, not committed; changed since), "
        "z.csv ffffffffffff"
    )


def test_traffic_is_told_with_its_span() -> None:
    """How much was answered, when, and how much of it came true."""
    first, last = datetime(2013, 3, 1, 5, 15, tzinfo=UTC), datetime(2013, 3, 14, tzinfo=UTC)
    found = {"predictions": 84_120, "outcomes": 82_011, "first": first, "last": last}
    assert told_traffic(found) == (
        "84,120 predictions 2013-03-01 05:15Z .. 2013-03-14 00:00Z, 82,011 with an outcome; those that lie in the lake"
    )


def test_what_is_not_there_has_no_line() -> None:
    """Neither sources, nor traffic."""
    assert (told_sources({}), told_traffic(None)) == (None, None)


def test_periods_are_joined_where_only_the_shadows_changed() -> None:
    """v1, then v1 beside a shadow, then v2, then v1 again: two periods."""

    def tenure(version: int, start: str, until: str | None, why: str) -> Tenure:
        ended = day(until) if until else None
        return Tenure(generation=1, version=version, shadow=(), start=day(start), until=ended, who="flyball", why=why)

    history = [
        tenure(1, "03-04", None, "back"),
        tenure(2, "03-03", "03-04", "better"),
        tenure(1, "03-02", "03-03", "v2 is its shadow"),
        tenure(1, "03-01", "03-02", "first"),
    ]
    assert [(item.start, item.until, item.why) for item in periods(history, 1)] == [
        (day("03-01"), day("03-03"), "first"),
        (day("03-04"), None, "back"),
    ]
    assert periods(history, 3) == []
