"""A training run keeps what its windows will be held against: cut as these are, by hour and by slice."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.loop import release
from flyball.loop.site import open_site
from flyball.project.load import load_project
from flyball.registry.versions import version
from flyball.stats.blocks import Cut
from flyball.stats.profile import CONFIDENCE, SCORE
from flyball.stats.profile_file import reference_from_bytes
from flyball.store import Home, open_database
from tests.integration.loop.conftest import SETTINGS, START, write_project

HALF_DAY_S = 43_200


@pytest.mark.slow
def test_a_reference_is_cut_as_the_settings_say(tmp_path: Path) -> None:
    """Half days since 1970 in a project of half-day windows, and x1 in quarters, score and confidence among the tallies."""
    settings = SETTINGS.replace("[monitor]", '[monitor]\nwindow = "12h"\nslices = ["x1"]')
    project = write_project(tmp_path / "project", settings=settings)
    home = Home(tmp_path / "home")
    database = open_database(home)
    with open_site(load_project(project), home, database, lambda _: None) as site:
        release.retrain(site, now=START, reason="first", why="the first version")
        zone = site.project.pipeline.timezone
    folder = home.path / version(database, "late", 1).bundle
    database.close()
    reference = reference_from_bytes((folder / "profile.json").read_bytes())
    assert set(reference.features) == {"x1", "x2", SCORE, CONFIDENCE}
    assert reference.cut == Cut(block_s=HALF_DAY_S, timezone=zone)
    # The newest block ends no later than the run begins.
    assert 0 <= START.timestamp() - reference.blocks[-1] * HALF_DAY_S < 30 * HALF_DAY_S
    assert len(reference.blocks) > 40
    sliced = reference.slices["x1"]
    assert len(sliced.slicer.levels) == 4
    assert set(sliced.tallies) == {"x2", SCORE, CONFIDENCE}
    rows = [int(sliced.part(place, reference.features)["x2"].tally.rows.sum()) for place in range(4)]
    assert sum(rows) == reference.rows
    assert max(rows) - min(rows) <= 4
