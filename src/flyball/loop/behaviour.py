"""Two versions on the same rows: how differently do they answer? And what their recipes' files say differently."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from flyball.engine.contract import Contract, Prediction
from flyball.engine.frame import columns_from_frame
from flyball.engine.session import Engine, load_engine
from flyball.errors import FlyballError, Mistake
from flyball.loop.recipe import RECIPE
from flyball.loop.shared_rows import held_out, last_asked, unkept
from flyball.registry.records import Version
from flyball.store import Database, Home

#: rows that are shown, those that the two are furthest apart on.
WORST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """One row that the two answer far apart."""

    #: its place among those that were asked.
    row: int
    a: Any
    b: Any
    difference: float
    #: its features, without those that the journal would not keep.
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What two versions answer to the same rows."""

    #: whose held-out rows were asked, and how many; None: the last ones in the lake.
    run: str | None
    rows: int
    #: of a probability, of several classes the one that differs most, or of the value.
    mean_difference: float
    largest_difference: float
    #: Pearson's; None where either gives all rows one score.
    correlation: float | None
    #: share of rows whose class is another (two classes: cut at 0.5); None for a regression.
    changed: float | None
    #: where they are furthest apart, the furthest first.
    worst: tuple[Apart, ...] = ()
    #: features that are not shown, and what the journal does with them.
    hidden: Mapping[str, str] = field(default_factory=dict)


def behaviour(database: Database, home: Home, a: Version, b: Version) -> Behaviour | str:
    """Both on the newest held-out rows that either's run has kept, else on the lake's last; a sentence where they cannot be
    asked.
    """
    with ExitStack() as stack:
        engines = []
        try:
            for item in (a, b):
                engines.append(load_engine(home.path / item.bundle, item.digest))
                stack.callback(_end, engines[-1])
            require_comparable(engines[0].contract, engines[1].contract)
        except FlyballError as error:
            return str(error).splitlines()[0]
        hidden, reasons = unkept(database, home, (a, b)), []
        for item in sorted((a, b), key=lambda item: (item.created_at, item.number), reverse=True):
            try:
                return _on(item.lineage.run, held_out(database, home, item), engines, hidden)
            except FlyballError as error:
                reasons.append(f"of v{item.number}'s run: {str(error).splitlines()[0]}")
        try:
            return _on(None, last_asked(database, home, a.model, [item.contract for item in engines]), engines, hidden)
        except FlyballError as error:
            return "; ".join([*reasons, str(error).splitlines()[0]])


def require_comparable(a: Contract, b: Contract) -> None:
    """Raise Mistake where their answers mean different things."""
    if a.task != b.task:
        raise Mistake(f"the one answers a {a.task} task, the other a {b.task} one")
    if set(a.classes) != set(b.classes) or a.positive != b.positive:
        raise Mistake(f"they answer other classes: {', '.join(a.classes)}; {', '.join(b.classes)}")


def code_changes(home: Home, a: Version, b: Version) -> Iterator[str]:
    """The lines of a unified diff of the two recipes' files; none where either's run keeps no recipe."""
    folders = [home.runs / item.lineage.run / RECIPE for item in (a, b)]
    if not all(folder.is_dir() for folder in folders):
        return
    names = sorted({path.relative_to(folder) for folder in folders for path in folder.rglob("*") if path.is_file()})
    for name in names:
        first, second = (_lines(folder / name) for folder in folders)
        one, other = (f"{item.model}@{item.number}/{name}" for item in (a, b))
        yield from difflib.unified_diff(first, second, one, other, lineterm="")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []


def _on(run: str | None, rows: pd.DataFrame, engines: Sequence[Engine], hidden: Mapping[str, str]) -> Behaviour:
    first, second = (item.predict(columns_from_frame(item.contract, rows)) for item in engines)
    contracts = [item.contract for item in engines]
    apart = _differences(first, second, contracts)
    names = dict.fromkeys(name for contract in contracts for name in contract.names())
    shown = [name for name in names if name not in hidden]
    furthest = [int(row) for row in np.argsort(-apart, kind="stable")[:WORST] if apart[row] > 0]
    task = contracts[0].task
    return Behaviour(
        run=run,
        rows=len(rows),
        mean_difference=float(apart.mean()),
        largest_difference=float(apart.max()),
        correlation=_correlation(first.score, second.score),
        changed=None if task == "regression" else float(np.mean(_classes(task, first) != _classes(task, second))),
        worst=tuple(
            Apart(
                row=row,
                a=_plain(first.prediction[row]),
                b=_plain(second.prediction[row]),
                difference=float(apart[row]),
                values={name: _plain(rows[name].iloc[row]) for name in shown},
            )
            for row in furthest
        ),
        hidden={name: how for name, how in hidden.items() if name in names},
    )


def _differences(a: Prediction, b: Prediction, contracts: Sequence[Contract]) -> npt.NDArray[np.float64]:
    """Shape (n,): of the score, or of the class whose probability differs most."""
    if contracts[0].task != "multiclass" or a.probabilities is None or b.probabilities is None:
        return np.asarray(np.abs(a.score - b.score))
    places = [contracts[1].classes.index(name) for name in contracts[0].classes]
    return np.asarray(np.abs(a.probabilities - b.probabilities[:, places]).max(axis=1))


def _end(engine: Engine) -> None:
    close = getattr(engine, "close", None)  # of a native model, whose process ends with it
    if close is not None:
        close()


def _plain(value: Any) -> Any:
    """As JSON holds it; what is missing is null."""
    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return None
    if isinstance(value, np.generic):
        return value.item()
    return value.isoformat() if hasattr(value, "isoformat") else value


def _classes(task: str, answer: Prediction) -> npt.NDArray[Any]:
    return answer.score >= 0.5 if task == "binary" else np.asarray(answer.prediction)


def _correlation(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> float | None:
    if len(a) < 2 or a.std() == 0 or b.std() == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])
