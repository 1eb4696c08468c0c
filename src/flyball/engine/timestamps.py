"""A timestamp as text: read strictly from what clients write, kept in one spelling, so that one instant is one text.

The spelling is ISO 8601 in microseconds: in UTC with a `Z` where the column has a zone, without one where it has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy.typing as npt

#: spellings of a missing timestamp in a request; the second is what pandas writes.
MISSING = frozenset({"", "NaT"})
#: first and last of the times that 64 bits of nanoseconds hold, which many a column of training is made of; and of those
#: that they hold in every zone.
PLAIN = ("1677-09-21T00:12:43.145225", "2262-04-11T23:47:16.854775")
ZONED = ("1677-09-22T00:12:43.145225", "2262-04-10T23:47:16.854775")

#: without 24:00, which newer Pythons read and older ones do not.
_SPELLING = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ](?!24)\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?(Z|[+-]\d\d(?::?[0-5]\d(?::?[0-5]\d)?)?)?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spelling:
    """What the texts of one column must be."""

    #: whether each text says its zone (`Z` or an offset), or none does.
    zoned: bool
    #: whether years 1 to 9999 are taken, and not only what 64 bits of nanoseconds hold.
    wide: bool

    @staticmethod
    def of(timezone: str | None, earliest: str | None, latest: str | None) -> Spelling:
        """Of a column by its zone and its range in training: years that nanoseconds cannot hold say it is of wider units."""
        return Spelling(zoned=timezone is not None, wide=(earliest or "1677") < "1677" or (latest or "1677") >= "2263")

    @property
    def needs(self) -> str:
        """What a text must be, for messages."""
        if self.zoned:
            return 'a date-time with "Z" or an offset, for example "2013-08-01T12:00:00Z"'
        return 'a date-time without a zone, as in training, for example "2013-08-01T12:00:00"'

    @property
    def range(self) -> tuple[str, str]:
        """First and last of the times that are taken, where not all are; in UTC where there are zones."""
        return ZONED if self.zoned else PLAIN

    def canonical(self, text: str) -> str:
        """The one spelling of the instant; "" of a missing one. What is finer than a microsecond is cut off.

        Raises ValueError with what is wrong and what is needed, without the text itself.
        """
        if text in MISSING:
            return ""
        found = _SPELLING.fullmatch(text.upper())
        if found is None:
            raise ValueError(f"got text that is no date-time, needs {self.needs}")
        if (found[1] is not None) is not self.zoned:
            raise ValueError(f"got a date-time {'without' if self.zoned else 'with'} a zone, needs {self.needs}")
        try:
            at = datetime.fromisoformat(found[0])
            if self.zoned:
                at = at.astimezone(UTC).replace(tzinfo=None)
        except (ValueError, OverflowError):  # the 30th of February, a leap second; beyond the years 1 to 9999
            raise ValueError(f"got a date-time that no calendar or clock here has, needs {self.needs}") from None
        spelt = at.isoformat(timespec="microseconds")
        if not self.holds(spelt):
            raise ValueError(f"got a date-time out of range, needs one from {' to '.join(self.range)}")
        return f"{spelt}Z" if self.zoned else spelt

    def holds(self, spelt: str) -> bool:
        """Whether a canonical text, with or without its zone, lies in the range that is taken."""
        first, last = self.range
        return self.wide or first <= spelt.removesuffix("Z") <= last


def respell(categories: npt.NDArray[Any], columns: Iterable[tuple[int, Spelling]]) -> bool:
    """Bring these columns of `categories` into their canonical spelling, in place; False where a text has none."""
    try:
        for index, spelling in columns:
            categories[:, index] = [spelling.canonical(text) for text in categories[:, index].tolist()]
    except ValueError:
        return False
    return True
