"""A home that an earlier release wrote: restored, migrated, read, answered from and moved by this one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from flyball.engine.session import load_engine
from flyball.errors import Mistake
from flyball.loop.backup import restore
from flyball.loop.reproduce import reproduce
from flyball.registry import chain, holds, live
from flyball.registry.decisions import decisions
from flyball.registry.versions import find, versions
from flyball.store import Database, Home, open_database

KEPT = Path(__file__).parents[2] / "fixtures" / "home-schema-5.tar.gz"


@dataclass(frozen=True, slots=True)
class Earlier:
    """The restored home, opened by this release."""

    home: Home
    database: Database


@pytest.fixture
def earlier(tmp_path: Path) -> Iterator[Earlier]:
    home = Home(tmp_path / "home")
    restore(KEPT, home)
    database = open_database(home)
    yield Earlier(home, database)
    database.close()


def test_its_versions_stages_and_history_are_read(earlier: Earlier) -> None:
    """Two versions, the second refused, promoted by hand, rolled back and barred."""
    found = versions(earlier.database, "churn")
    assert [(item.number, item.stage) for item in found] == [(1, "production"), (2, "archived")]
    assert [item.live for item in live.history(earlier.database, "churn")] == [1, 2, 1]
    assert [item.verdict for item in decisions(earlier.database, "churn", kind="gate")] == ["refused", "passed"]
    assert [item.version for item in holds.bars(earlier.database, "churn")] == [2]
    assert (found[0].lineage.sources, found[0].lineage.degraded) == ({}, ())
    assert find(earlier.database, "churn", found[0].label).metrics["auc"].rows == 114


def test_its_audit_is_whole_and_its_database_was_copied_before(earlier: Earlier) -> None:
    """Entries from before an entry could carry evidence keep their digests."""
    assert chain.verify(earlier.database).faults == ()
    assert [path.name for path in earlier.home.path.glob("*.backup")] == ["flyball.db.schema-5.backup"]


def test_its_bundles_answer(earlier: Earlier) -> None:
    """Verified by digest, within their contract."""
    for item in versions(earlier.database, "churn"):
        engine = load_engine(earlier.home.path / item.bundle, item.digest)
        example = {name: np.array([value], dtype=np.float32) for name, value in engine.contract.example.items()}
        assert 0.0 < engine.predict(example).score[0] < 1.0


def test_what_it_did_not_keep_is_said(earlier: Earlier, tmp_path: Path) -> None:
    """Its runs have no recipe, so that no version is made again."""
    (first, _) = versions(earlier.database, "churn")
    with pytest.raises(Mistake, match="keeps no recipe"):
        reproduce(earlier.database, earlier.home, first, tmp_path, rebuild=False, say=lambda _: None)
