"""A prediction answered once more: the very row that the lake kept, through the bundle of the version that answered it.

Nothing is guessed: where the row is not wholly known, or nothing is there to answer it, that is said and no number.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from flyball.engine.bundle import read_contract, verify_bundle
from flyball.engine.check import Violation, columns_from_records
from flyball.engine.contract import Contract, Prediction
from flyball.engine.parity import TOLERANCE
from flyball.engine.session import Engine, load_engine
from flyball.errors import Corrupt, FlyballError
from flyball.registry.records import Deployment, Version
from flyball.store import Home

State = Literal["equal", "within", "different", "impossible", "corrupt"]

#: how the lake writes a boolean in a column that holds texts too.
_BOOLEANS: Mapping[str, float] = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """How the answer of now compares with the one that was given."""

    state: State
    #: what the bundle answers now; None where it was not asked.
    prediction: float | str | None = None
    score: float | None = None
    #: between the score of now and the one that was given, of the class that was answered; relative to max(1, |value|) of a
    #: regression. None where one of the two is no number.
    difference: float | None = None
    #: what the version's parity allowed.
    tolerance: float
    why: str | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing speaks against the answer that was given; also where it cannot be had again."""
        return self.state not in ("different", "corrupt")

    def __str__(self) -> str:
        allowed = f"the version's tolerance is {self.tolerance:g}"
        apart = "one of them is no number" if self.difference is None else f"by {self.difference:.3g}"
        match self.state:
            case "equal":
                return f"{self.prediction}, equal to the bit"
            case "within":
                return f"{self.prediction}, differs {apart}, as rows that share a call may; {allowed}"
            case "different":
                return f"{self.prediction}, DIFFERS {apart}; {allowed}"
            case "impossible":
                return f"not possible: {self.why}"
            case "corrupt":
                return f"not possible, the bundle is CORRUPT: {self.why}"


def again(home: Home, row: Mapping[str, Any], version: Version, deployment: Deployment | None) -> Again:
    """Run `row`, as the lake kept it, through the version's bundle. `deployment`: the one it was answered under."""
    tolerance = float(version.parity.get("tolerance", TOLERANCE))
    folder = home.path / version.bundle
    if not folder.is_dir():
        return Again(state="impossible", tolerance=tolerance, why=f"the bundle {version.bundle} is gone")
    try:
        verify_bundle(folder, version.digest)
        unknown = _unknown(version, folder, row["features"], deployment)
        if unknown is not None:
            return Again(state="impossible", tolerance=tolerance, why=unknown)
        return _asked(folder, version, row, tolerance)
    except Corrupt as error:
        return Again(state="corrupt", tolerance=tolerance, why=str(error))
    except Violation as error:
        why = f"the row as it is kept is not one the version takes: {error}"
    except FlyballError as error:  # a native model's process that does not start, dies or raises; a newer format
        why = str(error)
    return Again(state="impossible", tolerance=tolerance, why=why)


def _asked(folder: Path, version: Version, row: Mapping[str, Any], tolerance: float) -> Again:
    engine = load_engine(folder, version.digest)
    try:
        record = record_of(engine.contract, row["features"])
        answer = engine.predict(columns_from_records(engine.contract, [record]))
    finally:
        close(engine)
    return compared(engine.contract, answer, row["prediction"], row["score"], tolerance)


def close(engine: Engine) -> None:
    """End the process of a native version."""
    ending = getattr(engine, "close", None)
    if ending is not None:
        ending()


def record_of(contract: Contract, features: Mapping[str, Any]) -> dict[str, Any]:
    """The row as it was asked. A column that holds texts in some of the lake's files holds its numbers as texts too."""
    return {item.name: _value(item.kind, features[item.name]) for item in contract.features}


def compared(contract: Contract, now: Prediction, prediction: Any, score: float | None, tolerance: float) -> Again:
    """The first row of `now` against what was answered. Engines answer float32, so bits are compared as such."""
    said: Any = now.prediction[0]
    told: float | str = said if isinstance(said, str) else float(said)
    mine = float(now.score[0])
    if contract.task == "multiclass" and now.probabilities is not None and said != prediction:
        # Of two classes with the same probability either may be named first.
        known = prediction in contract.classes
        mine = float(now.probabilities[0, contract.classes.index(prediction)]) if known else float("nan")
    theirs = float("nan") if score is None else float(score)
    scale = max(1.0, abs(theirs)) if contract.task == "regression" else 1.0
    difference = abs(mine - theirs) / scale
    same = said == prediction or contract.task != "multiclass"
    equal = same and np.array_equal(np.float32(mine), np.float32(theirs), equal_nan=True)
    state: State = "equal" if equal else "within" if difference <= tolerance else "different"
    number = None if np.isnan(difference) else difference
    return Again(
        state=state,
        prediction=told,
        score=float(now.score[0]),
        difference=0.0 if equal else number,
        tolerance=tolerance,
    )


def _unknown(
    version: Version, folder: Path, features: Mapping[str, Any] | None, deployment: Deployment | None
) -> str | None:
    """Why the row is not wholly known; None where it is."""
    names = read_contract(folder).names()
    if deployment is None:
        return f"no deployment of {version.model} is kept that says what the journal did with the row's columns"
    how = {"hash": "hashed", "drop": "dropped"}
    kept_not = [f"{name} is {how[deployment.columns[name]]}" for name in names if deployment.columns.get(name) in how]
    if kept_not:
        return f"[columns] keeps its values out of the journal: {', '.join(kept_not)}"
    absent = [name for name in names if name not in (features or {})]
    return f"the lake has no column {', '.join(absent)}" if absent else None


def _value(kind: str, value: Any) -> Any:
    if not isinstance(value, str) or kind in ("category", "timestamp"):
        return value
    with suppress(ValueError):
        return _BOOLEANS[value] if value in _BOOLEANS else float(value)
    return value  # no number: the contract's check says so
