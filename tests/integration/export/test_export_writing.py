"""Files below one folder, over nobody's changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.errors import Mistake
from flyball.export.writing import write_files

FILES = {"a.yml": "one\n", "deep/b.json": b"{}"}


def test_files_are_written_once(tmp_path: Path) -> None:
    """Text as UTF-8, bytes as they are; the second time nothing is left to do."""
    assert write_files(tmp_path / "new", FILES, force=False) == [tmp_path / "new/a.yml", tmp_path / "new/deep/b.json"]
    assert (tmp_path / "new/a.yml").read_bytes() == b"one\n"
    assert write_files(tmp_path / "new", FILES, force=False) == []


def test_what_somebody_changed_stays_unless_forced(tmp_path: Path) -> None:
    """Nothing at all is written then, not even what is missing; force writes only what differs."""
    (tmp_path / "a.yml").write_text("mine\n")
    with pytest.raises(Mistake, match=r"other content under a\.yml; nothing was written"):
        write_files(tmp_path, FILES, force=False)
    assert [path.name for path in tmp_path.iterdir()] == ["a.yml"]
    write_files(tmp_path, FILES, force=True)
    assert (tmp_path / "a.yml").read_text() == "one\n"


def test_nothing_is_written_outside(tmp_path: Path) -> None:
    """Neither by a name nor by a link."""
    (tmp_path / "out").mkdir()
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir/deep").symlink_to(tmp_path / "out")
    for files in (FILES, {"../a.yml": "one"}):
        with pytest.raises(Mistake, match="leads out of"):
            write_files(tmp_path / "dir", files, force=True)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_in_the_way_is_told(tmp_path: Path) -> None:
    """By name, whether or not it is forced."""
    (tmp_path / "a.yml").mkdir()
    with pytest.raises(Mistake, match=r"a\.yml is a folder"):
        write_files(tmp_path, FILES, force=True)
