"""A first look at a model and its reference table, in a step process: what they say together, and what they leave open.

What a person asked for holds; what nobody said is inferred only where it cannot be meant otherwise, and told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.api import types

from flyball.engine.given import take
from flyball.engine.graph_file import graph_bytes, graph_of
from flyball.engine.infer import class_text
from flyball.engine.pyfunc import Pyfunc
from flyball.errors import Mistake
from flyball.loop.adopted import Fetched, fetched, load, missing_packages, signature_of
from flyball.loop.adopted_table import fitted_to, read_reference, signature_columns
from flyball.loop.engines import PARITY_ROWS
from flyball.loop.steps import contract_of
from flyball.pipeline.step import ModelNames, RunContext
from flyball.store.files import sha256_file

#: pairs of classes of which the second is meant by "positive".
_POSITIVE = (("0", "1"), ("-1", "1"), ("no", "yes"), ("n", "y"), ("false", "true"))
_KEYS = ("id", "key", "uuid")
#: classes that are named in a message.
_NAMED = 10


@dataclass(slots=True, kw_only=True)
class _Settings:
    """`[model]` as far as it is known, and a line for each value that was inferred."""

    target: str | None
    task: str | None
    positive: str | None
    key: str | None
    timestamp: str | None
    features: tuple[str, ...] | None
    told: list[str] = field(default_factory=list)

    def infer(self, name: str, value: Any, why: str) -> None:
        setattr(self, name, value)
        self.told.append(f'{name} = "{value}": {why}; --{name} says otherwise')


def look(source: str, servers: list[str], table: str, asked: Mapping[str, Any], run: RunContext) -> dict[str, Any]:
    """What will be adopted, as plain values; or {"error": what is wrong}, which is the caller's mistake.

    `asked`: target, task, positive, key, timestamp and features, each None where nobody said; `declared`: whether they
    are a project's, which infers nothing.
    """
    try:
        return _looked(source, servers, Path(table), asked, run)
    except Mistake as error:
        return {"error": str(error)}


def _looked(source: str, servers: list[str], path: Path, asked: Mapping[str, Any], run: RunContext) -> dict[str, Any]:
    rows = read_reference(path, times=(asked["timestamp"],))
    got = fetched(source, servers, run.folder / "source")
    features = None if asked["features"] is None else tuple(asked["features"])
    settings = _Settings(**{**{name: asked[name] for name in _ASKED}, "features": features})
    signature = signature_of(got)
    held = load(got, rows, features=None, task=None, target=None, positive=None)
    _features(settings, held, list(signature_columns(signature)), rows)
    _target(settings, rows)
    if not asked["declared"]:
        _time_and_key(settings, rows)
    _present(settings, rows)
    own = [name for name in (settings.target, settings.key, settings.timestamp) if name]
    rows = fitted_to(rows, signature, own)
    if settings.features is None:
        settings.features = tuple(str(name) for name in rows.columns if name not in own)
        settings.told.append(
            f"features = {', '.join(settings.features)}: the model names none, so all other columns are"
        )
    _task(settings, held, rows)
    _classes(settings, held, rows)
    # The form a bundle is made of: that a pyfunc's answers mean something is seen here.
    names = {"task": settings.task, "target": settings.target, "positive": settings.positive}
    model = load(got, rows, features=settings.features, **names)
    if isinstance(model, Path):
        _graph(model, settings, rows)
    return {
        "digest": got.digest,
        "reference_sha256": sha256_file(path),
        "flavour": got.flavour,
        "rows": len(rows),
        "settings": {name: getattr(settings, name) for name in _ASKED} | {"features": list(settings.features)},
        "told": settings.told,
        "notes": _notes(got),
    }


_ASKED = ("target", "task", "positive", "key", "timestamp")


def _features(settings: _Settings, held: Any, signed: list[str], rows: pd.DataFrame) -> None:
    known = _names_in(held, rows) or signed
    if settings.features is not None:
        if known and set(known) != set(settings.features):
            raise Mistake(
                f"[model] features are {', '.join(settings.features)}; the model was fitted on {', '.join(known)}"
            )
        return
    if known:
        settings.features = tuple(name for name in known if name != settings.target)


def _names_in(held: Any, rows: pd.DataFrame) -> list[str]:
    """The columns a model was fitted on, in its order; [] where it does not say."""
    if isinstance(held, Path):
        inputs = [item.name for item in graph_of(graph_bytes(held)).graph.input]
        return inputs if all(name in rows for name in inputs) else []
    if isinstance(held, Pyfunc):
        return []
    names = getattr(held, "feature_names_in_", None)
    found = [] if names is None else [str(name) for name in names]
    if found == [f"Column_{index}" for index in range(len(found))]:  # LightGBM, fitted on an array
        return []
    # LightGBM keeps a name with its blanks as underscores.
    spelled = {str(name).replace(" ", "_"): str(name) for name in rows.columns}
    return [name if name in rows else spelled.get(name, name) for name in found]


def _target(settings: _Settings, rows: pd.DataFrame) -> None:
    if settings.target is None:
        taken = (*(settings.features or ()), settings.key, settings.timestamp)
        others = [str(name) for name in rows.columns if name not in taken]
        if settings.features is None or len(others) != 1:
            raise Mistake(f"which column is the target? --target NAME; the table has {', '.join(others)}")
        settings.infer("target", others[0], "the only column that is no feature of the model")


def _time_and_key(settings: _Settings, rows: pd.DataFrame) -> None:
    if settings.features is None:
        return
    taken = (*settings.features, settings.target)
    others = [str(name) for name in rows.columns if name not in taken]
    times = [name for name in others if name != settings.key and types.is_datetime64_any_dtype(rows[name])]
    if settings.timestamp is None and len(times) == 1 and rows[times[0]].notna().all():
        settings.infer("timestamp", times[0], "the only column of times that is no feature")
    keys = [name for name in others if name.lower().rpartition("_")[2] in _KEYS and rows[name].is_unique]
    if settings.key is None and len(keys) == 1 and keys[0] != settings.timestamp:
        settings.infer("key", keys[0], "the only column of ids, each row its own")


def _present(settings: _Settings, rows: pd.DataFrame) -> None:
    there = ", ".join(map(str, rows.columns))
    for role in ("target", "key", "timestamp"):
        name = getattr(settings, role)
        if name is not None and name not in rows:
            raise Mistake(f"the {role} {name!r} is not in the reference table; it has {there}")
    missing = [name for name in settings.features or () if name not in rows]
    if missing:
        raise Mistake(f"the reference table lacks features of the model: {', '.join(missing)}; it has {there}")
    if settings.target in (settings.features or ()):
        raise Mistake(f"the target {settings.target!r} is a feature of the model; --target names what came true")
    if rows[settings.target].isna().all():
        raise Mistake(f"column {settings.target!r} has no value; a reference needs what came true")
    if settings.timestamp is not None and rows[settings.timestamp].isna().any():
        raise Mistake(f"column {settings.timestamp!r} lacks times in some rows; fill or drop them")


def _task(settings: _Settings, held: Any, rows: pd.DataFrame) -> None:
    fitted = not isinstance(held, Pyfunc | Path)
    classes = len(held.classes_) if fitted and hasattr(held, "classes_") else 0
    if settings.task is None:
        if fitted:
            task = "regression" if not classes else "binary" if classes == 2 else "multiclass"
            why = f"the model is a classifier of {classes} classes" if classes else "the model is a regressor"
        else:
            task, why = _task_of(rows[settings.target])
        settings.infer("task", task, why)
    elif fitted and (settings.task == "regression") == bool(classes):
        kind = f"a classifier of {classes} classes" if classes else "a regressor, and has no classes"
        raise Mistake(f"the task is {settings.task}, and the model, a {type(held).__name__}, is {kind}")


def _task_of(target: Any) -> tuple[str, str]:
    values = target.dropna()
    several = int(values.nunique())
    if several == 2:
        return "binary", "the target has two values"
    if not types.is_numeric_dtype(values):
        return "multiclass", f"the target has {several} values that are no numbers"
    if types.is_float_dtype(values) and not (values == values.round()).all():
        return "regression", "the target holds fractions"
    raise Mistake(
        f"is {target.name!r} a class or a number? It has {several} whole values; --task multiclass or regression"
    )


def _classes(settings: _Settings, held: Any, rows: pd.DataFrame) -> None:
    if settings.task == "regression":
        if not types.is_numeric_dtype(rows[settings.target]):
            raise Mistake(
                f"a regression predicts numbers; column {settings.target!r} holds {rows[settings.target].dtype}"
            )
        return
    values = {class_text(value) for value in rows[settings.target].dropna().unique()}
    own = [class_text(value) for value in getattr(held, "classes_", ())] if not isinstance(held, Pyfunc | Path) else []
    strange = sorted(values.difference(own)) if own else []
    if strange:
        raise Mistake(
            f"column {settings.target!r} has classes that the model does not know: {', '.join(strange[:_NAMED])}; the "
            f"model's are {', '.join(own[:_NAMED])}"
        )
    known = own or sorted(values)
    if settings.task == "binary":
        _positive(settings, known)


def _positive(settings: _Settings, known: list[str]) -> None:
    if len(known) != 2:
        raise Mistake(f"a binary task needs two classes; there are {len(known)}: {', '.join(known[:_NAMED])}")
    if settings.positive is None:
        pair = tuple(sorted(known, key=str.lower))
        if tuple(name.lower() for name in pair) not in _POSITIVE:
            raise Mistake(f"which class is the positive one? --positive {known[0]} or --positive {known[1]}")
        settings.infer("positive", pair[1], f"of {pair[0]} and {pair[1]}")
    elif settings.positive not in known:
        raise Mistake(f"the positive class {settings.positive!r} is none of the classes {' and '.join(known)}")


def _graph(path: Path, settings: _Settings, rows: pd.DataFrame) -> None:
    """That its inputs are the features, and its output an answer."""
    assert settings.target is not None
    assert settings.task is not None
    names = ModelNames(
        target=settings.target,
        features=settings.features,
        key=settings.key,
        timestamp=settings.timestamp,
        positive=settings.positive,
        task=settings.task,
    )
    take(graph_bytes(path), contract_of(path, rows, names, "model"), rows.tail(PARITY_ROWS))


def _notes(got: Fetched) -> list[str]:
    lines = missing_packages(got)
    return [f"not installed, though the model's requirements name it: {line}" for line in lines]
