"""A home that is lived in belongs to whoever lives in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.store import Home, read_json
from tests.acceptance.demo.conftest import DAYS, begin, processes, until

pytestmark = pytest.mark.slow


def test_another_demo_in_a_home_that_is_lived_in_is_refused(tmp_path: Path) -> None:
    """With other settings too, which would clear the home first; the one that lives there goes on."""
    home = Home(tmp_path / "home")
    progress = home.path / "demo" / "progress.json"
    first = begin(home.path, days=DAYS)
    try:
        until(lambda: progress.exists() and read_json(progress)["days_done"] >= 1, "the first day", 120)
        second = begin(home.path, days=3)
        _, told = second.communicate(timeout=30)
        assert second.returncode == 1
        assert "is served already" in told
        lived = read_json(progress)["days_done"]
        until(lambda: read_json(progress)["days_done"] > lived or first.poll() is not None, "the next day", 60)
        assert first.poll() is None, first.communicate()
        first.terminate()
        first.communicate(timeout=30)
    finally:
        first.kill()
    until(lambda: not processes(str(tmp_path)), "all that the demo had started to end", 20)
