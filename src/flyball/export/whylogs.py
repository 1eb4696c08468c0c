"""whylogs' own profiles: of a day's rows, and of those the version was trained on, to compare them with."""

from __future__ import annotations

import os

import pandas as pd

from flyball.engine.contract import Contract
from flyball.errors import Unavailable
from flyball.export.evidently import Contents, columns_as_kinds


def whylogs_files(name: str, contract: Contract, day: pd.DataFrame, reference: pd.DataFrame) -> Contents:
    """`NAME.bin` and `NAME-reference.bin`, which `DatasetProfileView.read` opens. Raises Unavailable without the package."""
    os.environ.setdefault("WHYLOGS_NO_ANALYTICS", "True")
    try:
        import whylogs
    except ImportError as error:
        raise Unavailable(
            f"flyball export whylogs needs whylogs 1.6: {error}; pip install 'flyball[whylogs]'"
        ) from error
    numbers = [item.name for item in contract.features if item.kind in ("number", "integer")]
    texts = [item.name for item in contract.features if item.kind in ("category", "boolean")]
    found: Contents = {}
    for title, rows in ((name, day), (f"{name}-reference", reference)):
        profile = whylogs.log(columns_as_kinds(rows, numbers, texts))
        found[f"{title}.bin"] = bytes(profile.view().serialize())
    return found
