"""The data files of `[pipeline] source`: what they hold, and what DVC says of them."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from flyball.errors import Mistake
from flyball.loop.sources import sources

CONTENT = b"a,b\n1,2\n"
MD5 = hashlib.md5(CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_a_file_is_its_digest(tmp_path: Path) -> None:
    """SHA-256 of its bytes; nothing else where nothing tracks it."""
    (tmp_path / "rows.csv").write_bytes(CONTENT)
    assert sources(tmp_path, ["rows.csv"]) == {"rows.csv": {"sha256": SHA256}}


def test_a_folder_is_its_files_and_their_names(tmp_path: Path) -> None:
    """The same files under other names are other data."""
    for folder, name in (("a", "x.csv"), ("b", "x.csv"), ("c", "y.csv")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(CONTENT)
    found = [item["sha256"] for item in sources(tmp_path, ["a", "b", "c"]).values()]
    assert found[0] == found[1] != found[2]


def test_a_dvc_file_beside_it_names_the_content_meant(tmp_path: Path) -> None:
    """With its MD5, and whether the bytes there are that content."""
    (tmp_path / "rows.csv").write_bytes(CONTENT)
    (tmp_path / "rows.csv.dvc").write_text(f"outs:\n- md5: {MD5}\n  size: 8\n  hash: md5\n  path: rows.csv\n")
    found = {"sha256": SHA256, "dvc": "rows.csv.dvc", "md5": MD5, "state": "as tracked"}
    assert sources(tmp_path, ["rows.csv"])["rows.csv"] == found
    (tmp_path / "rows.csv").write_bytes(CONTENT + b"3,4\n")
    assert sources(tmp_path, ["rows.csv"])["rows.csv"]["state"] == "changed"


def test_dvc_lock_names_what_a_stage_made(tmp_path: Path) -> None:
    """Found upward of the project's folder, as far as the repository goes."""
    project = tmp_path / "models" / "churn"
    project.mkdir(parents=True)
    (tmp_path / ".dvc").mkdir()
    (project / "rows.csv").write_bytes(CONTENT)
    lock = f"schema: '2.0'\nstages:\n  make:\n    outs:\n    - path: models/churn/rows.csv\n      md5: {MD5}\n"
    (tmp_path / "dvc.lock").write_text(lock)
    found = sources(project, ["rows.csv"])["rows.csv"]
    assert (found["dvc"], found["md5"], found["state"]) == ("dvc.lock", MD5, "as tracked")


@pytest.mark.parametrize("text", ["", "- 1\n", "outs: 3\n", "outs:\n- 4\n", "stages: [1]\n", "outs: [", "\x00"])
def test_a_file_that_is_none_of_dvcs_says_nothing(tmp_path: Path, text: str) -> None:
    """However it is broken."""
    (tmp_path / "rows.csv").write_bytes(CONTENT)
    (tmp_path / "rows.csv.dvc").write_text(text)
    (tmp_path / "dvc.lock").write_text(text)
    assert sources(tmp_path, ["rows.csv"]) == {"rows.csv": {"sha256": SHA256}}


def test_a_file_that_is_not_there_is_refused_with_the_mend(tmp_path: Path) -> None:
    """Another one where DVC could fetch it."""
    with pytest.raises(Mistake, match="put it there, or take it out of the list"):
        sources(tmp_path, ["rows.csv"])
    (tmp_path / "rows.csv.dvc").write_text(f"outs:\n- md5: {MD5}\n  path: rows.csv\n")
    with pytest.raises(Mistake, match=r"`dvc pull rows\.csv` fetches it"):
        sources(tmp_path, ["rows.csv"])
