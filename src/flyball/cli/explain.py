"""`flyball explain ID`: one prediction back to what was asked, which version answered, from which data, let in by whom."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

import click

from flyball.cli.options import at_place, json_option
from flyball.cli.place import Place, open_home
from flyball.cli.reading import kept_verdict
from flyball.cli.show import cell, fields, minute, put, span
from flyball.cli.versions import commit, parameters
from flyball.dashboard.reads import history
from flyball.dashboard.records import Tenure
from flyball.errors import Corrupt, NotFound
from flyball.registry import live
from flyball.registry.codec import plain
from flyball.registry.records import Verdict, Version
from flyball.registry.versions import models
from flyball.registry.versions import version as version_of
from flyball.store import Database, Home, utcnow

if TYPE_CHECKING:
    from flyball.loop.reanswer import Reanswered


@click.command()
@click.argument("prediction", metavar="ID")
@at_place
@json_option
def explain(place: Place, prediction: str, as_json: bool) -> None:
    """One prediction back to version, digest, data, gate, who put it live, and what came true. ID as `predict` answered it.

    The kept row is asked again of the version that answered it. Exit 1 where it answers otherwise today, or cannot.
    """
    database = open_home(place)
    from flyball.journal.carry import bring_in  # pyarrow: `--help` does without

    bring_in(place.home, database, now=utcnow())  # what was just answered still lies in the journal
    row, outcomes, shadows = find_prediction(place.home, models(database), prediction)
    version = version_of(database, row["model"], row["version"])
    verdict = kept_verdict(database, version)
    again = asked_again(place.home, database, version, row)
    move = next((item for item in history(database, version.model) if item.generation == row["generation"]), None)
    document = {
        "prediction": row,
        "outcomes": outcomes,
        "shadow": shadows,
        "version": plain(version),
        "verdict": plain(verdict) if verdict else None,
        "deployed": plain(move) if move else None,
        "again": plain(again),
    }
    put(document, render(row, outcomes, shadows, version, verdict, move, again), as_json=as_json)
    if again.verdict in ("different", "corrupt"):
        raise SystemExit(1)


Found = dict[str, Any]


def find_prediction(home: Home, names: list[str], prediction: str) -> tuple[Found, list[Found], list[Found]]:
    """The live prediction with this id in any model's lake, what came true, what shadows said to the same row."""
    for model in names:
        rows = _rows(home, model, "predictions", prediction)
        if rows:
            return rows[-1], _outcomes(home, model, rows[-1]), _rows(home, model, "shadow", prediction)
    raise NotFound(
        f"no prediction {prediction!r} in the lake of this home; one just made is carried there within seconds "
        "while `flyball up` runs"
    )


def asked_again(home: Home, database: Database, version: Version, row: Found) -> Reanswered:
    """The row's answer today, by the version that answered it then."""
    from flyball.loop.reanswer import corrupt, reanswer  # onnxruntime: `explain --help` does without

    then = (item for item in live.history(database, version.model) if item.generation == row["generation"])
    deployed = next(then, None)
    try:
        return reanswer(home, version, row, dict(deployed.columns) if deployed else None)
    except Corrupt as error:
        return corrupt(version, row, error)


def told_again(again: Reanswered) -> str:
    """`0.18 again, equal to the bit`, or how far from it, or why nobody can tell."""
    if again.verdict in ("cannot be told", "corrupt"):
        return f"cannot be asked again: {again.why}"
    if again.verdict == "equal":
        return f"{cell(again.now)} again, equal to the bit"
    return f"{cell(again.now)} now: {again.verdict} (by {again.difference:.3g}, {again.tolerance:g} is allowed)"


def _outcomes(home: Home, model: str, row: Found) -> list[Found]:
    """What came true of it, told by its id; or by its key, where the lake joins that to this prediction of the key."""
    found = _rows(home, model, "outcomes", row["id"])
    if row["key"] is None or not any(item["label_at"] for item in _rows(home, model, "scored", row["id"], "label_at")):
        return found
    return sorted([*found, *_rows(home, model, "outcomes", row["key"], by="key")], key=lambda item: item["received_at"])


def _rows(
    home: Home, model: str, view: str, wanted: str, order: str = "received_at", *, by: Literal["id", "key"] = "id"
) -> list[Found]:
    from flyball.journal.lake import connect  # DuckDB and pyarrow: `explain --help` does without

    alone = " AND id IS NULL" if by == "key" else ""
    with closing(connect(home, model)) as lake:
        sql = f"SELECT * FROM {view} WHERE {by} = ?{alone} ORDER BY {order}"  # noqa: S608  # this file's own names
        return list(lake.sql(sql, params=[wanted]).to_arrow_table().to_pylist())


def render(
    row: Found,
    outcomes: list[Found],
    shadows: list[Found],
    version: Version,
    verdict: Verdict | None,
    move: Tenure | None,
    again: Reanswered,
) -> str:
    """Asked, answered, by what, from what, let in by whom, and what came true."""
    lineage = version.lineage
    asked = ", ".join(f"{name} {cell(value)}" for name, value in row["features"].items())
    told = "; ".join(
        f"{item['name']} {item['value']} at {minute(item['timestamp'] or item['received_at'])}" for item in outcomes
    )
    passed = "passed" if verdict and verdict.passed else "refused"
    return fields(
        [
            ("asked", f"{minute(row['timestamp'])}: {asked}"),
            ("key", row["key"]),
            ("answered", row["prediction"]),
            ("again", told_again(again)),
            ("shadows", "; ".join(f"v{item['version']} said {cell(item['prediction'])}" for item in shadows) or None),
            ("latency", f"{row['latency_ms']:.3g} ms"),
            ("version", f"{version.model} v{version.number}  {version.label}, as {row['variant']}"),
            ("digest", version.digest),
            (
                "data",
                f"{lineage.data_rows:,} rows, {span(lineage.data_start, lineage.data_end)}, digest {lineage.data_digest}",
            ),
            ("made by", f"run {lineage.run[:12]}, commit {commit(version) or 'none'}, {parameters(version)}"),
            ("gate", f"{passed}: {'; '.join(item.why for item in verdict.results) or 'no rule'}" if verdict else None),
            ("live", f"since {minute(move.start)}, by {move.who}: {move.why}" if move else None),
            ("came true", told or "not known yet"),
        ]
    )
