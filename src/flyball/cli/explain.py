"""`flyball explain ID`: one prediction back to what was asked, which version answered, from which data, let in by whom;
and answered once more, to be compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from flyball.cli.options import at_place, json_option
from flyball.cli.origin import run_of, source_of
from flyball.cli.place import Place, open_home
from flyball.cli.reading import kept_verdict
from flyball.cli.show import cell, fields, minute, put, span
from flyball.cli.versions import commit, parameters
from flyball.dashboard.reads import history
from flyball.dashboard.records import Tenure
from flyball.errors import NotFound
from flyball.registry import live, names
from flyball.registry.codec import plain
from flyball.registry.records import Verdict, Version
from flyball.registry.versions import models
from flyball.registry.versions import version as version_of
from flyball.store import Database, Home, utcnow

if TYPE_CHECKING:
    from flyball.cli.again import Again

Found = dict[str, Any]


@click.command()
@click.argument("prediction", metavar="ID")
@at_place
@json_option
@click.pass_context
def explain(ctx: click.Context, place: Place, prediction: str, as_json: bool) -> None:
    """One prediction back to version, digest, data, run, gate, who put it live, and what came true; and answered once more by
    the same bundle. Exit code 1 where that answer differs, or the bundle is corrupt. ID as `predict` answered it."""
    database = open_home(place)
    from flyball.cli.again import again  # onnxruntime and pyarrow: `--help` does without
    from flyball.journal.carry import carry

    carry(place.home, database, now=utcnow())  # what was just answered still lies in the journal
    row, outcomes, shadows = find_prediction(place.home, models(database), prediction)
    version = version_of(database, row["model"], row["version"])
    under = next((item for item in live.history(database, version.model) if item.generation == row["generation"]), None)
    repeated = again(place.home, row, version, under)
    move = next((item for item in history(database, version.model) if item.generation == row["generation"]), None)
    verdict = kept_verdict(database, version)
    about = _about(database, version)
    document = {
        "prediction": row,
        "again": {**plain(repeated), "ok": repeated.sound},
        "outcomes": outcomes,
        "shadow": shadows,
        "version": plain(version),
        "verdict": plain(verdict) if verdict else None,
        "deployed": plain(move) if move else None,
        **about,
    }
    asked = _asked(row, repeated)
    put(document, fields([*asked, *_made(version, verdict, move, about), *_told(outcomes, shadows)]), as_json=as_json)
    ctx.exit(0 if repeated.sound else 1)


def find_prediction(home: Home, known: list[str], prediction: str) -> tuple[Found, list[Found], list[Found]]:
    """The live prediction with this id in any model's lake, what came true, what shadows said to the same row."""
    for model in known:
        rows = _rows(home, model, "predictions", prediction)
        if rows:
            return rows[-1], _rows(home, model, "outcomes", prediction), _rows(home, model, "shadow", prediction)
    raise NotFound(
        f"no prediction {prediction!r} in the lake of this home; one just made is carried there within seconds "
        "while `flyball up` runs"
    )


def _rows(home: Home, model: str, view: str, prediction: str) -> list[Found]:
    from flyball.journal.lake import connect  # DuckDB and pyarrow: `explain --help` does without

    with closing(connect(home, model)) as lake:
        sql = f"SELECT * FROM {view} WHERE id = ? ORDER BY received_at"  # noqa: S608  # one of this file's own names
        return list(lake.sql(sql, params=[prediction]).to_arrow_table().to_pylist())


def _about(database: Database, version: Version) -> Found:
    """Who asked for the run that made the version, where its rows come from, what else it is called."""
    run, steps = run_of(database, version)
    return {
        "source": source_of(version.lineage, run, steps),
        "requested_by": run.requested_by if run else None,
        "aliases": names.names_of(database, version.model, version.number),
    }


def _asked(row: Found, repeated: Again) -> Iterator[tuple[str, object]]:
    features = ", ".join(f"{name} {cell(value)}" for name, value in (row["features"] or {}).items())
    yield "asked", f"{minute(row['timestamp'])}: {features or 'the lake keeps no feature'}"
    yield "key", row["key"]
    yield "answered", f"{row['prediction']}, in {row['latency_ms']:.3g} ms, as {row['variant']}"
    yield "again", str(repeated)


def _made(version: Version, verdict: Verdict | None, move: Tenure | None, about: Found) -> Iterator[tuple[str, object]]:
    """By what, from what, let in by whom."""
    lineage = version.lineage
    called = f" ({', '.join(about['aliases'])})" if about["aliases"] else ""
    asked_by = f", asked for by {about['requested_by']}" if about["requested_by"] else ""
    passed = "passed" if verdict and verdict.passed else "refused"
    yield "version", f"{version.model} v{version.number}{called}  {version.label}"
    yield "digest", version.digest
    yield "source", about["source"]
    rows = f"{lineage.data_rows:,} rows, {span(lineage.data_start, lineage.data_end)}, digest {lineage.data_digest}"
    yield "data", rows
    yield "run", f"{lineage.run}, {minute(version.created_at)}, {lineage.reason}{asked_by}"
    yield "parameters", parameters(version)
    yield "commit", commit(version)
    yield "gate", f"{passed}: {'; '.join(item.why for item in verdict.results) or 'no rule'}" if verdict else None
    yield "live", f"since {minute(move.start)}, by {move.who}: {move.why}" if move else None


def _told(outcomes: Sequence[Found], shadows: Sequence[Found]) -> Iterator[tuple[str, object]]:
    """What came true, and what others said to the same row."""
    came = (
        f"{item['name']} {item['value']} at {minute(item['timestamp'] or item['received_at'])}" for item in outcomes
    )
    if shadows:
        yield "shadows", "; ".join(f"v{item['version']} answered {item['prediction']}" for item in shadows)
    yield "came true", "; ".join(came) or "not known yet"
