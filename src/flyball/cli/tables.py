"""Files of rows, a piece at a time: a model's columns out of each piece, and the piece with its answers written on.

What stands in the file beside the features comes out as it went in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from flyball.engine.check import columns_from_records
from flyball.engine.contract import Columns, Contract, Kind
from flyball.engine.frame import columns_from_frame
from flyball.errors import Mistake

#: rows a piece: memory stays bounded whatever the file's size.
PIECE = 50_000

#: column -> one value a row.
Answers = Mapping[str, Any]

#: columns of n rows -> what is written beside them.
Answer = Callable[[Columns], Answers]

_MISSING = ("", "NA", "NaN", "nan", "null", "None")


def answer_csv(source: Path, target: Path, contract: Contract, answer: Answer) -> int:
    """Every row of a CSV file with its answers; how many. Text is kept as it stands, numbers too."""
    rows = 0
    with pd.read_csv(source, dtype=str, keep_default_na=False, chunksize=PIECE) as pieces:
        for piece in pieces:
            answers = answer(columns_from_frame(contract, _typed(piece, contract)))
            _refuse_taken(piece.columns, answers)
            piece.assign(**answers).to_csv(target, mode="a", header=not rows, index=False)
            rows += len(piece)
    return rows


def answer_parquet(source: Path, target: Path, contract: Contract, answer: Answer) -> int:
    """Every row of a Parquet file with its answers; how many."""
    rows = 0
    with ExitStack() as stack:
        file = stack.enter_context(pq.ParquetFile(source))
        writer: pq.ParquetWriter | None = None
        for batch in file.iter_batches(batch_size=PIECE):
            piece = pa.Table.from_batches([batch])
            names = [name for name in contract.names() if name in piece.column_names]
            answers = answer(columns_from_frame(contract, piece.select(names).to_pandas()))
            _refuse_taken(piece.column_names, answers)
            for name, values in answers.items():
                piece = piece.append_column(name, pa.array(values))
            writer = writer or stack.enter_context(pq.ParquetWriter(target, piece.schema))
            writer.write_table(piece)
            rows += piece.num_rows
    return rows


def answer_jsonl(source: Path, target: Path, contract: Contract, answer: Answer) -> int:
    """Every object of a JSON-lines file with its answers; how many. Checked as strictly as a request."""
    rows = 0
    with source.open("rb") as lines, target.open("wb") as out:
        objects = _objects(source, lines)
        while piece := list(islice(objects, PIECE)):
            features = [{name: row[name] for name in contract.names() if name in row} for row in piece]
            answers = answer(columns_from_records(contract, features))
            _refuse_taken({name for row in piece for name in row}, answers)
            told = zip(*(np.asarray(values).tolist() for values in answers.values()), strict=True)
            for row, values in zip(piece, told, strict=True):
                out.write(orjson.dumps({**row, **dict(zip(answers, values, strict=True))}) + b"\n")
            rows += len(piece)
    return rows


#: a file name's ending -> how its rows are answered.
FORMATS: Mapping[str, Callable[[Path, Path, Contract, Answer], int]] = {
    ".csv": answer_csv,
    ".parquet": answer_parquet,
    ".jsonl": answer_jsonl,
}


def _typed(piece: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """The features of a piece of text, each as its kind."""
    typed = {}
    for feature in contract.features:
        if feature.name in piece:
            text = piece[feature.name]
            typed[feature.name] = _TYPED.get(feature.kind, _numbers)(text)
    table = pd.DataFrame(typed, index=piece.index)
    table.index += 1  # as people count, in what is said of them
    return table


def _texts(text: pd.Series[str]) -> pd.Series[str]:
    return text.replace("", None)


def _times(text: pd.Series[str]) -> pd.Series[str]:
    """Still texts, read where their column's zone is known."""
    cells = text.str.strip()
    return cells.mask(cells.isin(_MISSING), None)


def _numbers(text: pd.Series[str]) -> pd.Series[float]:
    known = text.str.strip().replace({"True": "1", "true": "1", "False": "0", "false": "0"})
    numbers = pd.to_numeric(known.mask(known.isin(_MISSING)), errors="coerce")
    wrong = numbers.isna() & ~known.isin(_MISSING)
    if wrong.any():
        raise Mistake(f"row {int(text.index[wrong][0]) + 1}: column {text.name!r} needs a number, got text")
    return numbers


#: how a cell of a kind is read; all others are numbers.
_TYPED: Mapping[Kind, Callable[[Any], Any]] = {"category": _texts, "timestamp": _times}


def _objects(source: Path, lines: Any) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise Mistake(f"{source}:{number}: not JSON: {error}") from error
            if not isinstance(row, dict):
                raise Mistake(f"{source}:{number}: not an object; write one {{...}} a line")
            yield row


def _refuse_taken(names: Any, answers: Answers) -> None:
    taken = [name for name in answers if name in names]
    if taken:
        raise Mistake(
            f"the file has columns named {', '.join(taken)} already; rename them, for answers are written there"
        )
