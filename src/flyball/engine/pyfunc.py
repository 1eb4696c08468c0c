"""A model of any MLflow flavour, asked through `mlflow.pyfunc`: with the interface of a fitted estimator, and picklable.

It carries its whole MLflow folder, so that a bundle needs nothing that lies elsewhere. mlflow is imported when it is
asked, in step processes and in a native model's own.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from flyball.errors import Mistake

if TYPE_CHECKING:
    import pandas as pd

#: what such a model's answers mean: values; the positive class's probability; a column a class, in the classes' order;
#: columns named like the classes; the class itself, whose probability then counts as 1.
Form = Literal["values", "probability", "matrix", "named", "labels"]


class Pyfunc:
    """An MLflow model. `classes_` are its classes in order, empty for a regression."""

    def __init__(self, archive: bytes, *, form: Form, classes: Sequence[Any] = (), positive: int = 1) -> None:
        self.archive = archive
        self.form = form
        self.classes_ = tuple(classes)
        #: which of two classes a probability is of.
        self.positive = positive
        self._model: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_model": None}

    def predict(self, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        """A regression's values, shape (rows,)."""
        return np.asarray(self.ask(frame), dtype=np.float64).reshape(len(frame))

    def predict_proba(self, frame: pd.DataFrame) -> npt.NDArray[np.float64]:
        """Shape (rows, classes)."""
        found = self.ask(frame)
        if self.form == "labels":
            return one_hot(found, self.classes_)
        if self.form == "named":
            return np.asarray(found[list(columns_of(found, self.classes_))], dtype=np.float64)
        values = np.asarray(found, dtype=np.float64)
        if self.form == "matrix":
            return values
        both = np.column_stack([1 - values.reshape(-1), values.reshape(-1)])
        return both if self.positive == 1 else both[:, ::-1]

    def ask(self, frame: pd.DataFrame) -> Any:
        """What the model itself answers, as it is."""
        if self._model is None:
            self._model = load_archive(self.archive)
        return self._model.predict(frame)


def archive_of(folder: Path) -> bytes:
    """A folder as one zip, the same bytes for the same files."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
            packed.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return held.getvalue()


def load_archive(archive: bytes) -> Any:
    """The model of a packed MLflow folder, unpacked for as long as this process lives: a model may read its files late."""
    import mlflow.pyfunc  # slow, and in few processes

    place = Path(tempfile.gettempdir())
    _sweep(place)
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=place))
    with zipfile.ZipFile(io.BytesIO(archive)) as packed:
        packed.extractall(folder)
    return mlflow.pyfunc.load_model(str(folder))


_PREFIX = "flyball-pyfunc-"


def _sweep(place: Path) -> None:
    """Remove what processes that were killed have left."""
    for folder in place.glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not _lives(int(owner)):
            shutil.rmtree(folder, ignore_errors=True)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def columns_of(found: Any, classes: Sequence[Any]) -> tuple[Any, ...]:
    """The columns of a table of answers that are named like the classes, in the classes' order; () if they are not."""
    by_text = {str(column): column for column in found.columns}
    names = [str(name) for name in classes]
    return tuple(by_text[name] for name in names) if set(names) == set(by_text) else ()


def one_hot(found: Any, classes: Sequence[Any]) -> npt.NDArray[np.float64]:
    """1 in the column of each row's class. Raises Mistake for what is none."""
    place = {label: index for index, label in enumerate(classes)}
    values = np.asarray(found).reshape(-1).tolist()
    unknown = {value for value in values if value not in place}
    if unknown:
        raise Mistake(f"the model answers {len(unknown)} values that are none of its classes {tuple(classes)}")
    answer = np.zeros((len(values), len(place)))
    answer[np.arange(len(values)), [place[value] for value in values]] = 1.0
    return answer
