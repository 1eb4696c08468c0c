"""A fitted model's state as one digest: the same numbers, the same digest; one number else, another."""

from __future__ import annotations

from typing import Any

import numpy as np

from flyball.loop.dump import state_digest


class Fitted:
    """What an estimator is to pickle: a class and what it holds."""

    def __init__(self, **learnt: Any) -> None:
        self.__dict__.update(learnt)


def test_the_same_numbers_have_the_same_digest() -> None:
    """Whatever objects hold them, and in whatever order they were set."""
    first = Fitted(weights=np.array([1.0, 2.0]), classes=["a", "b"], depth=3)
    second = Fitted(depth=3, classes=["a", "b"], weights=np.array([1.0, 2.0]))
    assert state_digest(first) == state_digest(second)


def test_one_bit_of_one_number_makes_another_digest() -> None:
    """Deep inside, too."""
    first = Fitted(steps=[("model", Fitted(weights=np.array([1.0, 2.0])))])
    second = Fitted(steps=[("model", Fitted(weights=np.array([1.0, np.nextafter(2.0, 3.0)])))])
    assert state_digest(first) != state_digest(second)


def test_kinds_are_told_apart() -> None:
    """One, one point nought, true and "1"; a list of bytes that could be read as another's."""
    digests = [state_digest(value) for value in (1, 1.0, True, "1", b"1", np.float32(1), ["1"], [["1"]])]
    assert len(set(digests)) == len(digests)


def test_bytes_between_fields_do_not_count() -> None:
    """A tree's nodes are records with gaps, which nobody sets."""
    kind = np.dtype([("left", "i1"), ("value", "f8")], align=True)
    # Views of given bytes: a copy would leave the gaps as it finds them.
    first, second = (np.frombuffer(bytearray(gap * 32), dtype=kind) for gap in (b"\x00", b"\xff"))
    for nodes in (first, second):
        nodes["left"], nodes["value"] = [1, 2], [0.5, 0.25]
    assert first.tobytes() != second.tobytes()
    assert state_digest(first) == state_digest(second)


def test_what_refers_to_itself_has_an_end() -> None:
    """And the same one, made twice."""

    def loop() -> Fitted:
        made = Fitted(number=1)
        made.myself = made
        return made

    assert state_digest(loop()) == state_digest(loop())
