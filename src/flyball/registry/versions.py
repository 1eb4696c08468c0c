"""Versions in the database: written once, read often; only the stage moves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import count
from typing import cast

from flyball.errors import Mistake, NotFound
from flyball.project.wording import there_is
from flyball.registry import names
from flyball.registry.codec import dump, load_listed, load_version
from flyball.registry.records import Listed, Stage, Version
from flyball.store import Database, Row, Transaction, emit, new_id, stamp, utcnow

#: characters of a label, but for a number behind it.
LABEL_LENGTH = 96

_SELECT = "SELECT record, stage FROM version"
_NUMBERS = "SELECT number FROM version WHERE model = :model ORDER BY number"


def register(tx: Transaction, version: Version) -> Version:
    """Write a version. The same run again gives the version it already made: a resumed run registers once.

    A label that an older version of the model carries gets a number behind it.
    """
    row = tx.one(f"{_SELECT} WHERE run = :run", run=version.lineage.run)
    if row is not None:
        return _version(row)
    version = replace(version, label=free_label(tx, version.model, version.label))
    tx.run(
        "INSERT INTO version (model, number, label, run, stage, created_at, recorded_at, record)"
        " VALUES (:model, :number, :label, :run, :stage, :created_at, :recorded_at, :record)",
        model=version.model,
        number=version.number,
        label=version.label,
        run=version.lineage.run,
        stage=version.stage,
        created_at=stamp(version.created_at),
        recorded_at=stamp(utcnow()),
        record=dump(version),
    )
    return version


def set_stage(tx: Transaction, model: str, number: int, stage: Stage) -> None:
    """Move a version's stage, and have MLflow's aliases follow."""
    from flyball.registry import chain  # every command that only reads versions does without the audit's modules

    payload = {"model": model, "audit_head": chain.head(tx)}
    emit(tx, kind="aliases", payload=payload, dedup=f"aliases:{model}:{new_id()}", at=utcnow())
    tx.run(
        "UPDATE version SET stage = :stage WHERE model = :model AND number = :number",
        stage=stage,
        model=model,
        number=number,
    )


def models(database: Database | Transaction) -> list[str]:
    """Names of all models that have a version, sorted."""
    return [row["model"] for row in database.all("SELECT DISTINCT model FROM version ORDER BY model")]


def versions(database: Database | Transaction, model: str) -> list[Version]:
    """All versions of a model, oldest first."""
    return [_version(row) for row in database.all(f"{_SELECT} WHERE model = :model ORDER BY number", model=model)]


def listed(database: Database, model: str, metrics: int) -> list[Listed]:
    """A model's versions, oldest first, with the first `metrics` of each one's metrics only."""
    rows = database.all(f"{_SELECT} WHERE model = :model ORDER BY number", model=model)
    return [load_listed(row["record"], stage=cast(Stage, row["stage"]), metrics=metrics) for row in rows]


def version(source: Database | Transaction, model: str, number: int) -> Version:
    row = source.one(f"{_SELECT} WHERE model = :model AND number = :number", model=model, number=number)
    if row is None:
        raise _no_such(source, model, str(number))
    return _version(row)


def find(database: Database, model: str, ref: str) -> Version:
    """The version that `ref` names: a number (`7`, `v7`), a stage (`production`, `staging`, `shadow`), a label, or
    a free alias.

    Of several in one stage the newest. Raises NotFound naming what there is.
    """
    if match := re.fullmatch(r"v?(\d+)", ref):
        return version(database, model, int(match[1]))
    row = database.one(
        f"{_SELECT} WHERE model = :model AND (stage = :ref OR label = :ref) ORDER BY number DESC LIMIT 1",
        model=model,
        ref=ref,
    )
    if row is not None:
        return _version(row)
    named = names.numbers(database, model).get(ref)
    if named is None:
        raise _no_such(database, model, ref)
    return version(database, model, named)


def parse_reference(text: str) -> tuple[str, str]:
    """`MODEL@REF` as a pair; without `@` the reference is `production`. Raises Mistake where either is empty."""
    model, at, ref = text.partition("@")
    if not model.strip() or (at and not ref.strip()):
        raise Mistake(
            f"{text!r} names no version; write MODEL@REF, where REF is a number, production, staging, shadow, a label or an "
            "alias, or MODEL alone, which is the one in production"
        )
    return model, ref or "production"


def label_of(model: str, created_at: datetime, data_digest: str, condition: str, *, degraded: bool = False) -> str:
    """`flight-delay-20130701-d3f9a1c2-lgbm-lr0.05`: training date, dataset version, experiment condition; at most
    `LABEL_LENGTH` characters, or as many as the model's name needs; `-degraded` after it all where a step's result is an
    earlier run's.
    """
    named = "-".join((model, created_at.strftime("%Y%m%d"), data_digest[:8]))
    label = f"{named}-{condition[: max(LABEL_LENGTH - len(named) - 1, 8)]}".rstrip("-.") if condition else named
    return f"{label}-degraded" if degraded else label


def free_label(database: Database | Transaction, model: str, label: str) -> str:
    """`label`, or the first of `label-2`, `label-3` … that no version of the model carries."""
    rows = database.all("SELECT label FROM version WHERE model = :model", model=model)
    taken = {row["label"] for row in rows if row["label"].startswith(label)}
    return next(name for name in _numbered(label) if name not in taken)


def _numbered(label: str) -> Iterator[str]:
    yield label
    for number in count(2):
        yield f"{label}-{number}"


def _version(row: Row) -> Version:
    stage = cast(Stage, row["stage"])
    return replace(load_version(row["record"], stage=stage), stage=stage)


def _no_such(database: Database | Transaction, model: str, ref: str) -> NotFound:
    known = models(database)
    if model not in known:
        there = there_is(model, tuple(known), "none yet; `flyball run` trains the first")
        return NotFound(f"no model {model!r} has a version here{there}")
    numbers = _spans(row["number"] for row in database.all(_NUMBERS, model=model))
    given = ", ".join(names.numbers(database, model)) or "an alias"
    return NotFound(
        f"no version {ref!r} of {model} (versions {numbers}; or production, staging, shadow, a label, {given})"
    )


def _spans(numbers: Iterable[int]) -> str:
    """`1 to 998, 1000`: numbers in their order, three and more in a row as their ends."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][-1] == number - 1:
            spans[-1].append(number)
        else:
            spans.append([number])
    told = [[f"{span[0]} to {span[-1]}"] if len(span) > 2 else map(str, span) for span in spans]
    return ", ".join(text for span in told for text in span)
