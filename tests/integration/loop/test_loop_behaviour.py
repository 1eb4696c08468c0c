"""Two versions asked the same held-out rows: a refitted version and the twin that faced its gate, which differ a little."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd

from flyball.engine.frame import columns_from_frame
from flyball.engine.session import load_engine
from flyball.loop.behaviour import Behaviour, behaviour, code_changes
from flyball.loop.recipe import RECIPE
from flyball.loop.site import Site
from flyball.registry.records import Version
from flyball.registry.versions import version


def both(site: Site) -> tuple[Version, Version]:
    first = version(site.database, "late", 1)
    twin = first.lineage.gated_twin
    assert twin is not None
    return first, replace(first, number=2, bundle=twin["bundle"], digest=twin["digest"])


def test_two_versions_are_compared_on_the_held_out_rows_of_the_newest(site: Site) -> None:
    """How far apart their scores are, and how many rows get another class: as computed here from the same rows."""
    first, second = both(site)
    run = site.home.runs / first.lineage.run
    (kept,) = run.glob("validate/*/value/value.parquet")
    rows = pd.read_parquet(kept)
    scores = []
    for item in (first, second):
        engine = load_engine(site.home.path / item.bundle, item.digest)
        scores.append(engine.predict(columns_from_frame(engine.contract, rows)).score)
    apart = np.abs(scores[0] - scores[1])
    assert apart.max() > 0
    assert behaviour(site.database, site.home, first, second) == Behaviour(
        run=first.lineage.run,
        rows=750,
        mean_difference=float(apart.mean()),
        largest_difference=float(apart.max()),
        correlation=float(np.corrcoef(*scores)[0, 1]),
        changed=float(np.mean((scores[0] >= 0.5) != (scores[1] >= 0.5))),
    )


def test_where_the_rows_are_gone_it_is_said(site: Site) -> None:
    """Of either run; nothing else is asked instead."""
    first, second = both(site)
    shutil.rmtree(site.home.runs / first.lineage.run / "validate")
    told = behaviour(site.database, site.home, first, second)
    assert isinstance(told, str)
    assert told.count("the rows of step 'validate' are gone, or no table") == 2


def test_code_changes_are_lines_of_the_kept_recipes(site: Site) -> None:
    """None between a run and itself; a file that one of them lacks is all new."""
    first, second = both(site)
    assert list(code_changes(site.home, first, second)) == []
    recipe = site.home.runs / first.lineage.run / RECIPE
    other = site.home.runs / "other" / RECIPE
    shutil.copytree(recipe, other)
    (other / "helper.py").write_text("COLUMNS = 2\n")
    second = replace(second, lineage=replace(second.lineage, run="other"))
    changes = list(code_changes(site.home, first, second))
    assert changes == ["--- late@1/helper.py", "+++ late@2/helper.py", "@@ -0,0 +1 @@", "+COLUMNS = 2"]
