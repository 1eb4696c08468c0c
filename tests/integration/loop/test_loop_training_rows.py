"""The rows a version was trained on, found again in its run."""

from __future__ import annotations

import shutil

import pytest

from flyball.engine.bundle import read_contract
from flyball.errors import NotFound
from flyball.loop.site import Site
from flyball.loop.training_rows import training_rows
from flyball.registry.records import Version
from flyball.registry.versions import version


def live(site: Site) -> Version:
    return version(site.database, site.model, 1)


def test_they_are_as_many_as_the_lineage_says(site: Site) -> None:
    """What split handed out of the table that the model step was given, with every feature."""
    found = live(site)
    contract = read_contract(site.home.path / found.bundle)
    rows = training_rows(site.database, site.home, found, contract)
    assert len(rows) == found.lineage.data_rows
    assert {item.name for item in contract.features} <= set(rows.columns)


def test_where_they_are_gone_the_mend_is_named(site: Site) -> None:
    """The run's files were put away by hand: reproducing makes them again."""
    found = live(site)
    contract = read_contract(site.home.path / found.bundle)
    shutil.rmtree(site.home.runs / found.lineage.run / "collect")
    with pytest.raises(
        NotFound, match=r"keeps no table with all of x1, x2; `flyball reproduce late@1` makes them again"
    ):
        training_rows(site.database, site.home, found, contract)
