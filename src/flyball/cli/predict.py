"""`flyball predict MODEL@REF IN OUT`: score a file with one version, through the engine that serves it."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flyball.cli.options import at_place, json_option
from flyball.cli.place import Place, open_home
from flyball.cli.show import put
from flyball.errors import Mistake
from flyball.registry.versions import find, parse_reference

if TYPE_CHECKING:
    from flyball.engine.contract import Columns
    from flyball.engine.session import Engine

#: threads of one scoring; a file is alone, unlike requests.
THREADS = 2


@click.command()
@click.argument("version", metavar="MODEL@REF")
@click.argument("source", metavar="IN", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(dir_okay=False, path_type=Path))
@at_place
@json_option
def predict(place: Place, version: str, source: Path, target: Path, as_json: bool) -> None:
    """Score every row of IN with a version and write OUT: the same rows and columns, with `prediction`, `score` and
    `version` (and `probability_CLASS` of several classes). Both are .csv, .parquet or .jsonl. Nothing is journaled.
    """
    from flyball.cli.tables import FORMATS  # pandas and onnxruntime: `--help` does without
    from flyball.engine.session import load_engine

    if source.suffix != target.suffix or source.suffix not in FORMATS:
        raise Mistake(f"{source} to {target}: both need the same ending, one of {', '.join(FORMATS)}")
    found = find(open_home(place), *parse_reference(version))
    engine = load_engine(place.home.path / found.bundle, found.digest, threads=THREADS)
    draft = target.with_name(f".{target.name}.draft")
    draft.unlink(missing_ok=True)
    try:
        rows = FORMATS[source.suffix](source, draft, engine.contract, partial(_answers, engine, found.number))
        if not rows:
            raise Mistake(f"{source} has no rows; there is nothing to score")
        draft.replace(target)
    except ValueError as error:  # the root of what pandas and pyarrow raise for files they cannot read
        raise Mistake(f"{source} cannot be read as {source.suffix}: {error}") from error
    finally:
        draft.unlink(missing_ok=True)
    document = {"model": found.model, "version": found.number, "rows": rows, "out": str(target)}
    put(document, f"{rows:,} rows scored with {found.model} v{found.number}: {target}", as_json=as_json)


def _answers(engine: Engine, version: int, columns: Columns) -> dict[str, Any]:
    answered = engine.predict(columns)
    known: dict[str, Any] = {"prediction": answered.prediction, "score": answered.score}
    if engine.contract.task == "multiclass" and answered.probabilities is not None:
        for place, name in enumerate(engine.contract.classes):
            known[f"probability_{name}"] = answered.probabilities[:, place]
    return {**known, "version": [version] * len(answered.score)}
