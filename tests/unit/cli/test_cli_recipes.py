"""Source files that two runs have kept."""

from __future__ import annotations

from pathlib import Path

from flyball.cli.recipes import MOST, code_difference


def kept(run: Path, **files: str) -> Path:
    (run / "recipe").mkdir(parents=True)
    for name, text in files.items():
        (run / "recipe" / f"{name}.py").write_text(text)
    return run


def test_only_files_that_differ_are_shown(tmp_path: Path) -> None:
    """Those that only one of the two has, too."""
    a = kept(tmp_path / "a", pipeline="x = 1\n", same="y\n")
    b = kept(tmp_path / "b", pipeline="x = 2\n", same="y\n", more="z = 3\n")
    found = code_difference(a, b)
    assert found is not None
    assert found.lines == (
        *("--- a/more.py", "+++ b/more.py", "@@ -0,0 +1 @@", "+z = 3"),
        *("--- a/pipeline.py", "+++ b/pipeline.py", "@@ -1 +1 @@", "-x = 1", "+x = 2"),
    )
    assert found.left_out == 0


def test_a_long_difference_is_cut_and_counted(tmp_path: Path) -> None:
    """One generated file does not fill the screen."""
    a, b = kept(tmp_path / "a", data=""), kept(tmp_path / "b", data="row\n" * 500)
    found = code_difference(a, b)
    assert found is not None
    assert (len(found.lines), found.left_out) == (MOST, 503 - MOST)


def test_where_a_run_kept_no_files_nothing_is_said(tmp_path: Path) -> None:
    """The digests must do."""
    a = kept(tmp_path / "a", pipeline="x = 1\n")
    assert code_difference(a, tmp_path / "b") is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A kept folder shows what it keeps, nothing else of the machine."""
    a, b = kept(tmp_path / "a"), kept(tmp_path / "b")
    (tmp_path / "secret").write_text("s")
    (b / "recipe" / "link.py").symlink_to(tmp_path / "secret")
    found = code_difference(a, b)
    assert found is not None
    assert found.lines == ()
