"""Expected calibration error: how far probabilities are from the frequencies of what happened.

Rows are binned by rank, so that all bins hold nearly as many rows and equal probabilities share a bin. The plain sum of
the bins' gaps is never 0, even of a model that is calibrated perfectly, as chance alone opens gaps; what chance adds to a
gap of its size is taken off (the normal debiasing of Kumar, Liang and Ma 2019, here in closed form). Of a perfect model
somewhat more than half of the chance remains, in the value and its interval; between two models it cancels.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr

from flyball.stats.answers import Answers, Floats, Ints


def ece(rows: Answers) -> float:
    """In [0, 1], in probability: a binary model's P(positive) against positives, a multiclass one's highest probability
    against being right; nan without rows.
    """
    gaps, errors, weights = _gaps(*_binned(rows))
    apart = np.abs(gaps)
    # E|N(gap, error)|, the mean of a folded normal; less |gap|, it is what noise adds.
    scaled: Floats = np.minimum(np.divide(apart, errors, out=np.full(len(gaps), 40.0), where=errors > 0), 40.0)
    folded = errors * np.sqrt(2 / np.pi) * np.exp(-(scaled**2) / 2) + apart * (2 * ndtr(scaled) - 1)
    return float(np.clip(weights @ (2 * apart - folded), 0, 1))


def ece_values(rows: Answers, _: float) -> Floats:
    """Influence values with the bins held: each row's residual, with the sign of its bin's gap.

    Where every gap is chance they are somewhat too large, so the interval is then somewhat too wide.
    """
    residuals, bins = _binned(rows)
    gaps = _gaps(residuals, bins)[0]
    return np.asarray(np.sign(gaps)[bins] * residuals)


def _binned(rows: Answers) -> tuple[Floats, Ints]:
    """What happened less its probability, per row; and each row's bin."""
    happened = rows.y if rows.task == "binary" else rows.answer == rows.truth
    return happened - rows.confidence, rows.bins


def _gaps(residuals: Floats, bins: Ints) -> tuple[Floats, Floats, Floats]:
    """Each bin's mean residual, that mean's standard error (0 of a single row), and its share of the rows."""
    rows = np.bincount(bins)
    size = np.maximum(rows, 1)
    gaps = np.bincount(bins, weights=residuals) / size
    squares = np.bincount(bins, weights=residuals**2) / size
    variance = np.maximum(squares - gaps**2, 0) / np.maximum(rows - 1, 1)
    return gaps, np.sqrt(variance), rows / len(bins)
