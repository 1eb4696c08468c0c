"""Evidently's own report on a day: what was asked, against what the version was trained on.

Written for Evidently 0.7 (https://docs.evidentlyai.com/). Flyball's own verdict, with its stated rate of false alarms, is
`flyball monitor`; Evidently decides by its own rules, which change with the number of rows.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from flyball.engine.contract import Contract
from flyball.errors import Unavailable

Contents = dict[str, str | bytes]


def evidently_files(name: str, contract: Contract, day: pd.DataFrame, reference: pd.DataFrame) -> Contents:
    """`NAME.html` and `NAME.json`: Evidently's preset of data drift, over the contract's features.

    day, reference: a column per feature, at least one row each. Raises Unavailable without the package.
    """
    os.environ.setdefault("DO_NOT_TRACK", "1")  # nothing leaves the machine unless somebody wants it to
    try:
        from evidently import DataDefinition, Dataset, Report
        from evidently.presets import DataDriftPreset
    except ImportError as error:
        raise Unavailable(
            f"flyball export evidently needs Evidently 0.7, with pandas below 3: {str(error).partition(' (')[0]}; "
            "pip install 'flyball[evidently]', in an environment of its own if this one must keep its pandas"
        ) from error
    numbers = [item.name for item in contract.features if item.kind in ("number", "integer")]
    texts = [item.name for item in contract.features if item.kind in ("category", "boolean")]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=texts)

    def dataset(rows: pd.DataFrame) -> Any:
        return Dataset.from_pandas(columns_as_kinds(rows, numbers, texts), data_definition=definition)

    snapshot = Report([DataDriftPreset()], include_tests=True).run(dataset(day), dataset(reference))
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        snapshot.save_html(str(page))
        html = page.read_text()
    return {f"{name}.html": html, f"{name}.json": json.dumps(json.loads(snapshot.json()), indent=2) + "\n"}


def columns_as_kinds(rows: pd.DataFrame, numbers: Sequence[str], texts: Sequence[str]) -> pd.DataFrame:
    """Numbers as doubles, all else as text, whatever either side holds them as; missing stays missing."""
    found = {name: pd.to_numeric(rows[name], errors="coerce").to_numpy(dtype="float64") for name in numbers}
    texts_of = {name: [None if pd.isna(value) else str(value) for value in rows[name]] for name in texts}
    return pd.DataFrame(found | {name: pd.Series(values, dtype=object) for name, values in texts_of.items()})
