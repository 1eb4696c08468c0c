"""Which trace contexts are passed on (W3C Trace Context, section 3.2)."""

from __future__ import annotations

import pytest

from flyball.serving.requests import traceparent

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        (f"00-{TRACE}-{PARENT}-01", True),
        (f"cc-{TRACE}-{PARENT}-00", True),
        (f"cc-{TRACE}-{PARENT}-01-more", True),
        (f"cc-{TRACE}-{PARENT}-01more", False),
        (f"00-{TRACE}-{PARENT}-01-more", False),
        (f"ff-{TRACE}-{PARENT}-01", False),
        (f"00-{'0' * 32}-{PARENT}-01", False),
        (f"00-{TRACE}-{'0' * 16}-01", False),
        (f"00-{TRACE.upper()}-{PARENT}-01", False),
        (f"00-{TRACE}-{PARENT}-1", False),
        (f"00-{TRACE}-{PARENT}-01\n", False),
        (f"cc-{TRACE}-{PARENT}-01-{'x' * 512}", False),
        ("", False),
    ],
)
def test_a_trace_context_is_passed_on_as_it_came_or_not_at_all(given: str, passed: bool) -> None:
    """Version, trace, parent and flags of their lengths, in lower case, neither invalid nor all zero."""
    assert traceparent({b"traceparent": given.encode()}) == (given.encode() if passed else b"")
