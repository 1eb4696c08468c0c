"""A home as one file: taken while it is written to, put back whole or not at all."""

from __future__ import annotations

import io
import tarfile
import threading
from pathlib import Path

import orjson
import pytest

from flyball.engine.bundle import verify_bundle
from flyball.errors import Conflict, Corrupt, Mistake
from flyball.journal import lake
from flyball.journal.carry import carry
from flyball.journal.line import encode_outcomes
from flyball.journal.segment import Segment
from flyball.loop.backup import MANIFEST, back_up, restore
from flyball.loop.site import Site
from flyball.registry import chain
from flyball.registry.versions import versions
from flyball.store import Home, open_database, stamp
from tests.integration.loop.conftest import DAY, START, aliases

LATER = START + 7 * DAY


def test_what_was_there_is_there_again(site: Site, tmp_path: Path) -> None:
    """Versions with their bundles, the audit, MLflow's aliases; and nobody else may read the file."""
    target = tmp_path / "home.tar.gz"
    kept = back_up(site.home, target, now=LATER)
    assert target.stat().st_mode & 0o077 == 0
    back = Home(tmp_path / "back")
    assert restore(target, back) == kept
    assert kept.at == LATER
    database = open_database(back)
    (version,) = versions(database, "late")
    assert version == versions(site.database, "late")[0]
    verify_bundle(back.path / version.bundle, version.digest)
    assert chain.verify(database).faults == ()
    assert (back.mlflow / "mlflow.db").exists()
    assert aliases(site) == {"production": 1}
    database.close()


def test_outcomes_written_and_carried_meanwhile_are_there_once(site: Site, tmp_path: Path) -> None:
    """A writer and a carrier go on all the while; what was written before is in the copy, once, and nothing is twice."""
    stop = threading.Event()
    written = 0

    def write() -> None:
        nonlocal written
        while not stop.is_set():
            segment = Segment(site.home.journal, "outcomes")
            for _ in range(20):
                outcome = {"key": f"k{written}", "name": "label", "value": 1, "outcome_id": f"o{written}"}
                line = encode_outcomes(model="late", received_at=stamp(LATER), outcomes=[outcome])
                assert segment.append(line)
                written += 1
            segment.close()
            carry(site.home, site.database, now=LATER)
        site.database.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            least, target = written, tmp_path / f"{number}.tar.gz"
            back_up(site.home, target, now=LATER)
            back = Home(tmp_path / f"back{number}")
            restore(target, back)
            database = open_database(back)
            carry(back, database, now=LATER)
            keys = lake.outcomes(back, "late", LATER, LATER + DAY)["key"].to_pylist()
            assert len(keys) == len(set(keys))
            assert {f"k{index}" for index in range(least)} <= set(keys)
            database.close()
    finally:
        stop.set()
        writer.join()


@pytest.mark.parametrize("cut", [0.0, 0.01, 0.5, 0.99])
def test_a_file_that_was_cut_off_is_not_restored(site: Site, tmp_path: Path, cut: float) -> None:
    """Wherever."""
    target = tmp_path / "home.tar.gz"
    back_up(site.home, target, now=LATER)
    target.write_bytes(target.read_bytes()[: int(cut * target.stat().st_size)])
    back = Home(tmp_path / "back")
    with pytest.raises(Corrupt, match="nothing was restored"):
        restore(target, back)
    assert not back.path.exists()
    assert list(tmp_path.glob("*.draft")) == []


def test_a_changed_file_is_named(site: Site, tmp_path: Path) -> None:
    """By its digest in the list at the end."""
    target, other = tmp_path / "home.tar.gz", tmp_path / "other.tar.gz"
    back_up(site.home, target, now=LATER)
    bundle = versions(site.database, "late")[0].bundle
    with tarfile.open(target) as source, tarfile.open(other, "w:gz") as changed:
        for member in source.getmembers():
            content = source.extractfile(member).read()  # type: ignore[union-attr]
            if member.name == f"{bundle}/contract.json":
                content = content.replace(b"late", b"soon")
            changed.addfile(member, io.BytesIO(content))
    with pytest.raises(Corrupt, match=r"contract\.json is not what was backed up"):
        restore(other, Home(tmp_path / "back"))


def test_a_member_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    """A file from somewhere else may be anything."""
    evil = tmp_path / "evil.tar.gz"
    with tarfile.open(evil, "w:gz") as archive:
        for name, content in (
            ("../out", b"x"),
            (MANIFEST, orjson.dumps({"format": 1, "at": stamp(START), "files": {}})),
        ):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with pytest.raises(Corrupt):
        restore(evil, Home(tmp_path / "deep" / "back"))
    assert not (tmp_path / "deep" / "out").exists()


def test_nothing_is_overwritten(site: Site, tmp_path: Path) -> None:
    """Neither a file, nor a home; and no home is copied into itself."""
    target = tmp_path / "home.tar.gz"
    target.write_text("mine")
    with pytest.raises(Conflict, match="exists; nothing was changed"):
        back_up(site.home, target, now=LATER)
    with pytest.raises(Mistake, match="lies in the home"):
        back_up(site.home, site.home.path / "me.tar.gz", now=LATER)
    with pytest.raises(Conflict, match="is not empty; nothing was changed"):
        restore(target, site.home)
    with pytest.raises(Conflict, match="is a file; nothing was changed"):
        restore(target, Home(target))
    with pytest.raises(Mistake, match="cannot be a home: a file stands there, or on the way there"):
        Home(target / "home").made()
    with pytest.raises(Mistake, match=r"there is no folder .*/none; make it"):
        back_up(site.home, tmp_path / "none" / "home.tar.gz", now=LATER)
    with pytest.raises(Mistake, match="nothing was backed up"):
        back_up(Home(tmp_path / "none"), tmp_path / "none.tar.gz", now=LATER)
    assert target.read_text() == "mine"
