"""Journal lines as the lake's Arrow tables, one per model and date of event time. Pure.

Columns are gathered as lists and converted once: a table costs what its values cost, not what its lines do.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from flyball.journal.layout import ERRORS, METADATA, NO_FEATURES, OUTCOMES, PREDICTIONS, Kind, date_of
from flyball.journal.line import Scalar
from flyball.journal.parse import ErrorLine, Line, OutcomeLine, OutcomeRow, PredictionLine

#: Where a table belongs.
Place = tuple[Kind, str, str]

#: Columns that tell two rows of one kind apart.
IDENTITY: dict[Kind, list[str]] = {
    "predictions": ["id", "role", "version"],
    "outcomes": ["outcome_id"],
    "errors": ["id"],
}

_PER_LINE = ("model", "version", "variant", "role", "source", "generation", "request_id", "received_at", "latency_ms")
_PER_ROW = ("ids", "timestamp", "key", "prediction", "score")
_NO_KIND = type(None)


@dataclass(slots=True)
class _Gathered:
    """Rows of one place so far, by column."""

    rows: int = 0
    columns: dict[str, list[Any]] = field(default_factory=dict)
    features: dict[str, list[Scalar]] = field(default_factory=dict)


def tables(lines: Iterable[Line]) -> dict[Place, pa.Table]:
    """One table per place; of rows with one identity only the last is there."""
    predicted: dict[Place, _Gathered] = {}
    told: dict[Place, list[tuple[OutcomeLine, OutcomeRow]]] = {}
    refused: dict[Place, list[ErrorLine]] = {}
    for line in lines:
        if isinstance(line, PredictionLine):
            for date, chosen in _by_date(line).items():
                _gather(predicted.setdefault(("predictions", line.model, date), _Gathered()), line, chosen)
        elif isinstance(line, ErrorLine):
            refused.setdefault(("errors", line.model, date_of(line.received_at)), []).append(line)
        else:
            for row in line.outcomes:
                date = date_of(row.timestamp or line.received_at)
                told.setdefault(("outcomes", line.model, date), []).append((line, row))
    made = {place: _prediction_table(gathered) for place, gathered in predicted.items()}
    made |= {place: _outcome_table(pairs) for place, pairs in told.items()}
    made |= {place: _error_table(found) for place, found in refused.items()}
    return {place: _last_of_each(table, place[0]) for place, table in made.items()}


def identities(table: pa.Table, kind: Kind) -> list[Hashable]:
    """What tells each row apart: an id has one live answer, and one from every shadow version."""
    columns = [table[name].to_pylist() for name in IDENTITY[kind]]
    if kind != "predictions":
        return list(columns[0])
    return [id_ if role == "live" else (id_, role, version) for id_, role, version in zip(*columns, strict=True)]


def as_text(value: Scalar) -> str | None:
    """A scalar as the lake's text: 1.0 is `1`, True is `true`."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(int(value)) if value.is_integer() else repr(value)


def _by_date(line: PredictionLine) -> dict[str, Sequence[int] | None]:
    """Date -> its rows; None stands for all of them, which is nearly every line."""
    dates = [at.date() for at in line.timestamp]
    if len(set(dates)) == 1:
        return {dates[0].isoformat(): None}
    chosen: dict[str, list[int]] = {}
    for row, date in enumerate(dates):
        chosen.setdefault(date.isoformat(), []).append(row)
    return dict(chosen)


def _gather(into: _Gathered, line: PredictionLine, chosen: Sequence[int] | None) -> None:
    count = len(line.ids) if chosen is None else len(chosen)
    for name in _PER_LINE:
        into.columns.setdefault(name, []).extend([getattr(line, name)] * count)
    for name in _PER_ROW:
        values = getattr(line, name)
        into.columns.setdefault(name, []).extend(values if chosen is None else [values[row] for row in chosen])
    for name, values in line.features.items():
        column = into.features.setdefault(name, [])
        # Lines before this one may not have had the feature.
        column.extend([None] * (into.rows - len(column)))
        column.extend(values if chosen is None else [values[row] for row in chosen])
    into.rows += count


def _prediction_table(gathered: _Gathered) -> pa.Table:
    columns = gathered.columns
    columns["id"] = columns.pop("ids")
    arrays = {name: pa.array(columns[name], PREDICTIONS.field(name).type) for name in columns if name != "prediction"}
    arrays["prediction"] = _typed(columns["prediction"], gathered.rows)
    arrays["features"] = _struct(gathered)
    schema = pa.schema([pa.field(name, arrays[name].type) for name in PREDICTIONS.names], METADATA)
    return pa.Table.from_arrays([arrays[name] for name in PREDICTIONS.names], schema=schema)


def _struct(gathered: _Gathered) -> pa.Array:
    if not gathered.features:
        return pa.nulls(gathered.rows, NO_FEATURES)
    names = list(gathered.features)
    return pa.StructArray.from_arrays([_typed(gathered.features[name], gathered.rows) for name in names], names)


def _typed(values: list[Scalar], rows: int) -> pa.Array:
    """`values`, filled up with nulls to `rows`, as bool, double or string: the narrowest that holds them all."""
    values = values + [None] * (rows - len(values))
    kinds = set(map(type, values)) - {_NO_KIND}
    if kinds == {bool}:
        return pa.array(values, pa.bool_())
    if kinds <= {float}:
        return pa.array(values, pa.float64())
    if kinds <= {float, bool}:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    return pa.array([as_text(value) for value in values], pa.string())


def _outcome_table(pairs: list[tuple[OutcomeLine, OutcomeRow]]) -> pa.Table:
    rows = [row for _, row in pairs]
    columns: dict[str, list[Any]] = {
        "outcome_id": [row.outcome_id for row in rows],
        "id": [row.id for row in rows],
        "key": [row.key for row in rows],
        "model": [line.model for line, _ in pairs],
        "name": [row.name for row in rows],
        "value": [as_text(row.value) for row in rows],
        "number": [None if row.value is None or isinstance(row.value, str) else float(row.value) for row in rows],
        "timestamp": [row.timestamp for row in rows],
        "received_at": [line.received_at for line, _ in pairs],
    }
    return pa.Table.from_pydict(columns, schema=OUTCOMES.with_metadata(METADATA))


def _error_table(found: list[ErrorLine]) -> pa.Table:
    rows = [
        {
            "id": line.id,
            "timestamp": line.received_at,
            "model": line.model,
            "version": line.version,
            "status": line.status,
            "reason": line.reason,
            "column": line.columns[0] if line.columns else None,
            "columns": line.columns,
            "caller": line.caller,
            "request_id": line.request_id,
            "route": line.route,
        }
        for line in found
    ]
    return pa.Table.from_pylist(rows, schema=ERRORS.with_metadata(METADATA))


def _last_of_each(table: pa.Table, kind: Kind) -> pa.Table:
    last = {identity: row for row, identity in enumerate(identities(table, kind))}
    return table if len(last) == table.num_rows else table.take(sorted(last.values()))
