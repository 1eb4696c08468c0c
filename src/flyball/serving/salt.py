"""The home's secret for hashed columns: made once, the same for every worker, so that equal values hash equally."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flyball.store import Home

_BYTES = 32


def journal_salt(home: Home) -> bytes:
    """32 secret bytes of this home, readable by its owner only; made when first asked for."""
    path = home.path / "salt"
    if not path.exists():
        _make(path)
    return path.read_bytes()


def _make(path: Path) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(fd, "wb") as file:  # noqa: PTH123 - a descriptor, opened with its mode
        file.write(os.urandom(_BYTES))
        os.fsync(fd)
    try:
        # Of several workers that start at once, one wins and all read the winner's.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
