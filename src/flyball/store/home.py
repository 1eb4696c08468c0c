"""The home folder and what lies where in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flyball.errors import Mistake

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Home:
    """One installation's folder; it may hold many projects."""

    path: Path

    @property
    def database(self) -> Path:
        return self.path / "flyball.db"

    @property
    def journal(self) -> Path:
        """JSON lines being written, one segment per worker."""
        return self.path / "journal"

    @property
    def lake(self) -> Path:
        """Parquet: `lake/{predictions,outcomes,errors}/model=…/date=…/*.parquet`."""
        return self.path / "lake"

    @property
    def runs(self) -> Path:
        """`runs/RUN/STEP/…`: inputs and outputs of every step, and the bundles made from them."""
        return self.path / "runs"

    @property
    def mlflow(self) -> Path:
        return self.path / "mlflow"

    @property
    def serving(self) -> Path:
        """What workers keep on disk to survive without the database: last deployments; and their metrics files."""
        return self.path / "serving"

    def made(self) -> Home:
        """The same home, existing on disk and readable by its owner only.

        What stands where a folder belongs is left to whoever needs the folder: a server answers without its journal.
        Raises Mistake where the home itself cannot be made.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        except (FileExistsError, NotADirectoryError) as error:
            raise Mistake(
                f"{self.path} cannot be a home: a file stands there, or on the way there; name a folder with --home DIR"
            ) from error
        for folder in (self.journal, self.lake, self.runs, self.mlflow, self.serving):
            try:
                folder.mkdir(exist_ok=True)
            except FileExistsError:
                continue
        return self


def find_home(start: Path, environ: Mapping[str, str], named: Path | None = None) -> Home:
    """`--home`, else `FLYBALL_HOME`, else the nearest `.flyball/` upward of `start`, else `start/.flyball` (not yet made)."""
    if named is not None:
        return Home(named.expanduser().absolute())
    if environ.get("FLYBALL_HOME"):
        return Home(type(start)(environ["FLYBALL_HOME"]).expanduser().absolute())
    start = start.absolute()
    for folder in (start, *start.parents):
        if (folder / ".flyball").is_dir():
            return Home(folder / ".flyball")
    return Home(start / ".flyball")
