"""Two versions asked the same held-out rows: a refitted version and the twin that faced its gate, which differ a little."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from flyball.engine.contract import Contract
from flyball.engine.frame import columns_from_frame
from flyball.engine.session import load_engine
from flyball.errors import Mistake
from flyball.journal.carry import carry
from flyball.loop.behaviour import Behaviour, behaviour, code_changes, require_comparable
from flyball.loop.recipe import RECIPE
from flyball.loop.site import Site
from flyball.registry import live
from flyball.registry.records import Version
from flyball.registry.versions import version
from flyball.store import utcnow
from tests.integration.loop.conftest import DAY, START, Answer


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
    found = behaviour(site.database, site.home, first, second)
    assert isinstance(found, Behaviour)
    assert replace(found, worst=()) == Behaviour(
        run=first.lineage.run,
        rows=750,
        mean_difference=float(apart.mean()),
        largest_difference=float(apart.max()),
        correlation=float(np.corrcoef(*scores)[0, 1]),
        changed=float(np.mean((scores[0] >= 0.5) != (scores[1] >= 0.5))),
    )
    assert [item.row for item in found.worst] == np.argsort(-apart, kind="stable")[:3].tolist()
    assert (found.worst[0].difference, found.worst[0].a) == (float(apart.max()), scores[0][found.worst[0].row])
    assert found.worst[0].values == rows[["x1", "x2"]].iloc[found.worst[0].row].astype(float).to_dict()


def test_where_the_rows_are_gone_those_of_the_lake_are_asked(site: Site, answer: Answer) -> None:
    """Of either run, and of the lake, which is asked instead."""
    first, second = both(site)
    shutil.rmtree(site.home.runs / first.lineage.run / "validate")
    told = behaviour(site.database, site.home, first, second)
    assert isinstance(told, str)
    assert told.count("the rows of step 'validate' are gone, or no table") == 2
    assert told.endswith("; the lake of late is empty")
    answer(START + DAY, count=20)
    carry(site.home, site.database, now=utcnow())
    found = behaviour(site.database, site.home, first, second)
    assert isinstance(found, Behaviour)
    assert (found.run, found.rows, len(found.worst)) == (None, 20, 3)


def test_values_that_the_journal_would_not_keep_are_not_shown(site: Site) -> None:
    """As any deployment of the model said."""
    first, second = both(site)
    with site.database.write() as tx:
        before = live.current(tx, "late")
        assert before is not None
        hashing = replace(before, columns={"x1": "hash"})
        live.deploy(tx, hashing, replaces=before.generation, who="ada", why="privacy")
    found = behaviour(site.database, site.home, first, second)
    assert isinstance(found, Behaviour)
    assert (list(found.worst[0].values), found.hidden) == (["x2"], {"x1": "hash"})


def test_answers_that_mean_different_things_are_not_compared() -> None:
    """Another task, other classes."""
    one = Contract(model="m", task="binary", features=(), classes=("0", "1"), positive="1", example={})
    require_comparable(one, one)
    with pytest.raises(Mistake, match="a binary task, the other a regression one"):
        require_comparable(one, replace(one, task="regression", classes=(), positive=None))
    with pytest.raises(Mistake, match="other classes: 0, 1; a, b"):
        require_comparable(one, replace(one, classes=("a", "b"), positive="b"))


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
