"""A kept prediction asked again: does the version that answered it answer the same today?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from flyball.engine.contract import Kind
from flyball.engine.parity import TOLERANCE
from flyball.engine.session import Engine, load_engine
from flyball.errors import Corrupt, FlyballError
from flyball.registry.records import Version
from flyball.serving.problem import Problem
from flyball.serving.protocols import native
from flyball.store import Home

#: "corrupt": what answered is no longer what was registered.
Verdict = Literal["equal", "within tolerance", "different", "cannot be told", "corrupt"]

#: how the lake writes a boolean in a column that holds texts too.
_BOOLEANS: Mapping[str, float] = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reanswered:
    """What the version says to the same row today."""

    verdict: Verdict
    #: the prediction as it was answered, and as it is answered now; None where it was not asked.
    then: Any
    now: Any
    #: |then - now| of the score; None where it was not asked.
    difference: float | None
    #: what still counts as the same: requests that came together shared one call of the graph, whose last bits may differ.
    tolerance: float
    #: why it cannot be told, or what is wrong; None where nothing is.
    why: str | None


def reanswer(home: Home, version: Version, row: Mapping[str, Any], policy: Mapping[str, str] | None) -> Reanswered:
    """Ask the row of the lake again, through a request's decoding and check.

    policy: what the journal did with columns when it was answered, "hash" or "drop" where not kept; None: nobody knows.
    Raises Corrupt for a bundle that is not what was registered.
    """
    tolerance = float(version.parity.get("tolerance", TOLERANCE))
    folder = home.path / version.bundle
    if not folder.is_dir():
        raise Corrupt(
            f"bundle {folder} is gone: {version.model} v{version.number} cannot answer again; restore a backup, or make it "
            f"again: `flyball reproduce {version.model}@{version.number}`"
        )
    engine = load_engine(folder, version.digest)
    try:
        return _asked(engine, row, policy, tolerance)
    finally:
        close = getattr(engine, "close", None)  # of a native model, whose process ends with it
        if close is not None:
            close()


def _asked(engine: Engine, row: Mapping[str, Any], policy: Mapping[str, str] | None, tolerance: float) -> Reanswered:
    contract = engine.contract
    if policy is None:
        return _untold(row, tolerance, "no deployment is kept that says what the journal did with the row's columns")
    unkept = {name: policy[name] for name in contract.names() if policy.get(name, "keep") != "keep"}
    if unkept:
        what = ", ".join(f"{name} ({how})" for name, how in unkept.items())
        return _untold(row, tolerance, f"the journal keeps no values of {what}, as [columns] says")
    asked = {item.name: asked_value(item.kind, row["features"].get(item.name)) for item in contract.features}
    try:
        told = native.decode(orjson.dumps({"inputs": [asked]}), contract, 0.0)
        answer = engine.predict(told.columns)
    except Problem as problem:
        places = ", ".join(str(error.loc[-1]) for error in problem.errors) or problem.detail
        return _untold(row, tolerance, f"the kept row is refused by the version's contract: {places}")
    except FlyballError as error:
        return _untold(row, tolerance, str(error))
    now, score = answer.prediction[0], float(answer.score[0])
    difference = abs(score - float(row["score"])) if row["score"] is not None else math.nan
    same_class = contract.task != "multiclass" or str(now) == str(row["prediction"])
    return Reanswered(
        verdict=_verdict(difference, same_class, tolerance * max(1.0, abs(score))),
        then=row["prediction"],
        now=str(now) if contract.task == "multiclass" else float(now),
        difference=difference,
        tolerance=tolerance,
        why=None,
    )


def _verdict(difference: float, same_class: bool, tolerance: float) -> Verdict:
    if difference == 0.0 and same_class:
        return "equal"
    # Of two classes that are as probable as each other either may be the first.
    return "within tolerance" if difference <= tolerance else "different"


def _untold(row: Mapping[str, Any], tolerance: float, why: str) -> Reanswered:
    return Reanswered(
        verdict="cannot be told", then=row["prediction"], now=None, difference=None, tolerance=tolerance, why=why
    )


def corrupt(version: Version, row: Mapping[str, Any], error: Corrupt) -> Reanswered:
    """The answer where the bundle is not what was registered, so that the rest of the story can still be told."""
    tolerance = float(version.parity.get("tolerance", TOLERANCE))
    return Reanswered(
        verdict="corrupt", then=row["prediction"], now=None, difference=None, tolerance=tolerance, why=str(error)
    )


def asked_value(kind: Kind, value: Any) -> Any:
    """The lake's value as a request writes it: Parquet may hold a column's booleans and integers as numbers, and all of them
    as texts where other rows have texts in that column.
    """
    if isinstance(value, str) and kind in ("number", "integer", "boolean"):
        with suppress(ValueError):
            value = _BOOLEANS[value] if value in _BOOLEANS else float(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if kind == "boolean" and not isinstance(value, str):
        return bool(value)
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    return value
