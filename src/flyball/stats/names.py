"""The names of the metrics of each task, and which way is better. Imports nothing, so that settings can be checked fast."""

from __future__ import annotations

#: task -> metrics that can be computed on its held-out rows.
METRIC_NAMES: dict[str, tuple[str, ...]] = {
    "binary": ("auc", "log_loss", "brier", "average_precision", "accuracy", "precision", "recall", "f1", "ece"),
    "multiclass": ("accuracy", "log_loss", "macro_f1", "brier", "ece"),
    "regression": ("rmse", "mae", "r2"),
}

#: Measured over the serving path, not on rows: milliseconds of a one-row request, megabytes of what a server loads.
SERVING_METRICS: tuple[str, ...] = ("p99_ms", "size_mb")

GREATER_IS_BETTER: dict[str, bool] = {
    "auc": True,
    "log_loss": False,
    "brier": False,
    "average_precision": True,
    "accuracy": True,
    "precision": True,
    "recall": True,
    "f1": True,
    "macro_f1": True,
    "rmse": False,
    "mae": False,
    "r2": True,
    "ece": False,
    "p99_ms": False,
    "size_mb": False,
}
