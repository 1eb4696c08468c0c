"""A column whose requests are refused more often than by itself is broken; a client that tries things out is not."""

from __future__ import annotations

from flyball.monitor.refused import Refused, refused_from_json, too_many

LEVEL = 0.001


def test_a_source_that_changes_its_type_is_named_with_how_many() -> None:
    (found,) = too_many(Refused(requests=1_000, columns={"temp": 400}), (), LEVEL)
    assert (found.feature, found.fault) == ("temp", "schema")
    assert found.why == "temp had 400 of 1,000 requests refused (40.0%): it is absent, or no value of its kind"


def test_the_worst_column_comes_first() -> None:
    found = too_many(Refused(requests=1_000, columns={"a": 60, "b": 900, "c": 60}), (), LEVEL)
    assert [one.feature for one in found] == ["b", "a", "c"]


def test_few_refusals_or_a_small_share_are_somebody_trying_things_out() -> None:
    assert too_many(Refused(requests=30, columns={"temp": 19}), (), LEVEL) == ()
    assert too_many(Refused(requests=10_000, columns={"temp": 499}), (), LEVEL) == ()
    assert too_many(Refused(), (), LEVEL) == ()


def test_what_was_always_refused_is_usual() -> None:
    """A client that sends a tenth of nonsense every day: 8 to 12 % are quiet, 30 % are not."""
    earlier = [Refused(requests=1_000, columns={"temp": 80 + 4 * day}) for day in range(11)]
    assert too_many(Refused(requests=1_000, columns={"temp": 120}), earlier, LEVEL) == ()
    (found,) = too_many(Refused(requests=1_000, columns={"temp": 300}), earlier, LEVEL)
    assert "refused (30.0%, usually 10.0%)" in found.why


def test_after_quiet_windows_any_share_that_matters_is_beyond() -> None:
    earlier = [Refused() for _ in range(10)]
    (found,) = too_many(Refused(requests=1_000, columns={"temp": 50}), earlier, LEVEL)
    assert "(5.0%, usually 0.0%)" in found.why


def test_it_comes_back_from_its_json() -> None:
    seen = Refused(requests=10, columns={"temp": 3})
    assert refused_from_json(seen.to_json()) == seen
