"""Flyball's worker without its journal and its metrics, for measuring what the two cost. Takes the worker's arguments.

It takes the place of names in Flyball's modules, which nothing but this benchmark may do. `cases` checks from outside
that it neither wrote nor counted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from flyball.journal.segment import Segment
from flyball.serving import answering, journals, metrics, served, turn, worker


class Nowhere(Segment):
    """A segment that takes every line and keeps none."""

    def append(self, line: bytes) -> bool:
        del line
        return True

    def append_all(self, lines: Sequence[bytes]) -> int:
        return len(lines)


def main(argv: Sequence[str]) -> None:
    _replace(journals, "Segment", Nowhere)
    _replace(answering, "encode_predictions", _nothing)
    _replace(turn, "about_one", _nothing)
    _replace(turn, "encode_one", _nothing)
    _replace(served, "_kept", lambda *_: _nothing)
    _replace(metrics.Counts, "answered", _nothing)
    _replace(metrics.Counts, "singles", _nothing)
    worker.main(argv)


def _nothing(*_: Any, **__: Any) -> bytes:
    return b""


def _replace(where: Any, name: str, by: Any) -> None:
    if not hasattr(where, name):
        raise SystemExit(f"{where.__name__} has no {name} any more: say here anew what journal and metrics are")
    setattr(where, name, by)


if __name__ == "__main__":
    main(sys.argv[1:])
