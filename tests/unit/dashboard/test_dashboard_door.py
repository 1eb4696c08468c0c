"""What the door reads from a request."""

from __future__ import annotations

import pytest

from flyball.dashboard.access import cookie_name, host_name


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("localhost:8000", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]:8000", "::1"),
        ("LOCALHOST", "localhost"),
        ("", ""),
        ("[::1", ""),
        ("evil.example:8000", "evil.example"),
        ("localhost@evil.example", "evil.example"),
    ],
)
def test_a_host_is_its_name_without_port(header: str, name: str) -> None:
    """What DNS rebinding would forge is read as a browser reads it."""
    assert host_name(header) == name


def test_two_ports_have_two_cookies() -> None:
    """Browsers keep one jar for all ports of a host."""
    assert cookie_name({"server": ("127.0.0.1", 8000)}) == "flyball_8000"
    assert cookie_name({"server": ("127.0.0.1", 8001)}) == "flyball_8001"
