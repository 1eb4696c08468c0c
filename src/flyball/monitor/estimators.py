"""What a version keeps for estimating its performance without labels: `estimate.json` of its bundle, read and asked."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal

import pyarrow as pa

from flyball.registry.records import Version
from flyball.stats.calibrated import Calibration, calibration_from_json
from flyball.stats.estimate import Estimate
from flyball.stats.estimated import estimate_binary, estimate_right
from flyball.stats.expected_errors import PREDICTION, ErrorModel, error_model_from_json, estimate_regression
from flyball.store import Home
from flyball.store.files import read_json

#: the file of a bundle.
ESTIMATE = "estimate.json"
FORMAT = 1

#: what scores mean ("chance" of class 1, "right": chance that the answered class is), or how large errors are.
Kind = Literal["chance", "right", "errors"]
Estimator = tuple[Kind, Calibration | ErrorModel]


def estimator_of(home: Home, version: Version) -> Estimator | str:
    """What a version estimates by, or why it cannot. A refit's is its gated twin's: it has seen the held-out rows itself."""
    twin = version.lineage.gated_twin
    folders = [version.bundle, *([twin["bundle"]] if twin else [])]
    for folder in folders:
        path = home.path / folder / ESTIMATE
        if path.is_file():
            return _read(path)
    return f"v{version.number} keeps no {ESTIMATE}: it was made before versions kept one, adopted, or had too few held-out rows"


@lru_cache(maxsize=32)
def _read(path: Path) -> Estimator | str:
    """Bundles never change, so a path stands for its content."""
    document = read_json(path)
    try:
        if document["format"] != FORMAT:
            return f"{path}: format {document['format']!r}, this release reads {FORMAT}; upgrade flyball"
        kind: Kind = document["kind"]
        read = error_model_from_json if kind == "errors" else calibration_from_json
        return kind, read(document["model"])
    except (KeyError, ValueError, TypeError) as error:
        return f"{path}: cannot be read ({type(error).__name__}); register the version again or restore a backup"


def estimate_without_labels(estimator: Estimator, rows: pa.Table, *, confidence: float) -> dict[str, Estimate]:
    """Metric -> its estimate on the rows (columns score and features as in the lake)."""
    kind, model = estimator
    score = rows["score"].cast(pa.float64()).to_numpy()
    if isinstance(model, ErrorModel):
        features = rows["features"].combine_chunks()
        held = {features.type.field(place).name for place in range(features.type.num_fields)}
        columns = {name: features.field(name).to_numpy(zero_copy_only=False) for name in model.inputs if name in held}
        return estimate_regression(model, {**columns, PREDICTION: score}, rows.num_rows, confidence=confidence)
    return (estimate_binary if kind == "chance" else estimate_right)(model, score, confidence=confidence)
