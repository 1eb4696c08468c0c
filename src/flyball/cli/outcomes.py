"""`flyball outcomes MODEL FILE`: what came true, from a file to a running server."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click
import orjson

from flyball.cli.addresses import USUAL, running
from flyball.cli.options import at_place, json_option
from flyball.cli.place import Place
from flyball.cli.show import put
from flyball.client import Client
from flyball.errors import Mistake
from flyball.store import sha256_file
from flyball.store.ids import derived_id

#: rows a request; well under the server's limit on bodies.
BATCH = 1_000

NAMES = ("id", "key", "name", "value", "timestamp")

Outcome = dict[str, Any]


@click.command()
@click.argument("model")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--url", help="The data plane; else where `flyball up` of this home listens.")
@click.option("--token", envvar="FLYBALL_TOKEN", show_envvar=True, help="Bearer token, where the server asks for one.")
@at_place
@json_option
def outcomes(place: Place, model: str, file: Path, url: str | None, token: str | None, as_json: bool) -> None:
    """Post what came true for predictions of MODEL. FILE is .csv or .jsonl with `value`, and `id` or `key`;
    `name` (else label) and `timestamp` may be there. Posting the same file again changes nothing.
    """
    client = Client(url or (running(place.home) or USUAL).serve, token=token)
    digest, taken = sha256_file(file), 0
    rows = read_outcomes(file)
    while batch := list(islice(rows, BATCH)):
        taken += client.outcomes(model, batch, idempotency_key=derived_id(digest, str(taken)))
    client.close()
    put({"model": model, "outcomes": taken}, f"{taken:,} outcomes of {model} taken", as_json=as_json)


def read_outcomes(file: Path) -> Iterator[Outcome]:
    """The file's rows, each checked as far as it can be here: a value, and exactly one of id and key."""
    suffix = file.suffix.lower()
    if suffix not in _READERS:
        raise Mistake(f"{file}: outcomes are read from .csv or .jsonl, not {suffix or 'a file without ending'}")
    for line, row in _READERS[suffix](file):
        unknown = sorted(set(row) - set(NAMES))
        if unknown:
            raise Mistake(f"{file}:{line}: unknown {', '.join(unknown)}; an outcome has {', '.join(NAMES)}")
        if "value" not in row or ("id" in row) == ("key" in row):
            raise Mistake(f"{file}:{line}: an outcome needs a value, and an id or a key (one of them)")
        yield row


def _from_csv(file: Path) -> Iterator[tuple[int, Outcome]]:
    """Empty cells are left out; a value is a number or boolean where it reads as one."""
    with file.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines, restkey="cells beyond the head")
        for row in reader:
            known = {name: text for name, text in row.items() if text}
            if "value" in known:
                known["value"] = _value(known["value"])
            yield reader.line_num, known


def _from_jsonl(file: Path) -> Iterator[tuple[int, Outcome]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise Mistake(f"{file}:{number}: not JSON: {error}") from error
            if not isinstance(row, dict):
                raise Mistake(f"{file}:{number}: not an object; write one {{...}} a line")
            yield number, row


def _value(text: str) -> Any:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return value if isinstance(value, bool | int | float) else text


_READERS = {".csv": _from_csv, ".jsonl": _from_jsonl, ".ndjson": _from_jsonl}
