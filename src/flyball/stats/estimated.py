"""Performance without labels: what a metric would be if scores still meant what they meant on the held-out rows.

Of classifiers by confidence (CBPE; NannyML's documentation, "Estimation of Performance of the Monitored Model"): a row with
calibrated chance p is p of a positive and 1 - p of a negative. Of regressions by a model of the error itself (DLE there):
`expected_errors`. Both see that inputs have moved to where the model is surer, or less sure. Neither can see concept drift:
where the chance at the same score has changed, the estimate stays where it was, and only labels tell.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from flyball.stats.answers import THRESHOLD, Floats
from flyball.stats.calibrated import RESAMPLES, Calibration, chance
from flyball.stats.estimate import Estimate
from flyball.stats.metrics import CLIP

#: rows that an estimate is made of at most, evenly taken.
MOST_ROWS = 50_000

#: said wherever an estimate is shown.
BLIND = "an estimate made without labels: it cannot see concept drift"


def estimate_binary(
    calibration: Calibration, score: npt.ArrayLike, *, confidence: float, seed: int = 0
) -> dict[str, Estimate]:
    """Metric -> its estimate on n unlabelled rows with `score` of shape (n,); empty without rows.

    The interval is where the metric of these very rows should lie: it holds the chance in their labels, drawn RESAMPLES
    times, and the calibration's own error; not that rows of one day move together. `ece` is left out: calibration is
    what is assumed.
    """
    s = np.sort(_taken(np.asarray(score, dtype=np.float64)))  # once: what ranks rows finds them ranked
    if not len(s):
        return {}
    p = chance(calibration, s)
    values = {name: metric(p, s) for name, metric in _EXPECTED.items()}
    random = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in values}
    for number in range(RESAMPLES):
        y = (random.random(len(s)) < chance(calibration, s, number)).astype(np.float64)
        # Labels are chances of 0 and 1.
        for name, metric in _EXPECTED.items():
            drawn[name].append(metric(y, s))
    return {name: _around(value, np.asarray(drawn[name]), len(s), confidence) for name, value in values.items()}


def estimate_right(
    calibration: Calibration, score: npt.ArrayLike, *, confidence: float, seed: int = 0
) -> dict[str, Estimate]:
    """`estimate_binary` of several classes, by the highest probability's chance to be of the right class: accuracy alone."""
    s = _taken(np.asarray(score, dtype=np.float64))
    if not len(s):
        return {}
    random = np.random.default_rng(seed)
    drawn = [(random.random(len(s)) < chance(calibration, s, number)).mean() for number in range(RESAMPLES)]
    value = float(chance(calibration, s).mean())
    return {"accuracy": _around(value, np.asarray(drawn), len(s), confidence)}


def _taken(score: Floats) -> Floats:
    known = score[np.isfinite(score)]
    return known if len(known) <= MOST_ROWS else known[np.linspace(0, len(known) - 1, MOST_ROWS).astype(np.int64)]


def _around(value: float, drawn: Floats, rows: int, confidence: float) -> Estimate:
    known = drawn[np.isfinite(drawn)]
    half = float(ndtri((1 + confidence) / 2) * known.std(ddof=1)) if len(known) > 1 else float("nan")
    return Estimate(value=value, low=max(value - half, 0.0), high=value + half, rows=rows)


def _auc(p: Floats, s: Floats) -> float:
    """P(a positive scores above a negative), ties half, over rows that are both in parts."""
    order = np.argsort(s, kind="stable")
    rising, positive, negative = s[order], p[order], 1 - p[order]
    starts = np.flatnonzero(np.append(True, rising[1:] != rising[:-1]))
    positives, negatives = np.add.reduceat(positive, starts), np.add.reduceat(negative, starts)
    below = np.cumsum(negatives) - negatives / 2
    # A row is no pair with itself.
    pairs = positive.sum() * negative.sum() - (positive * negative).sum()
    return _ratio(positives @ below - (positive * negative).sum() / 2, pairs)


def _average_precision(p: Floats, s: Floats) -> float:
    order = np.argsort(-s, kind="stable")
    falling = s[order]
    ends = np.append(np.flatnonzero(falling[1:] != falling[:-1]), len(s) - 1)
    right = np.cumsum(p[order])[ends]
    return _ratio(float((right / (ends + 1)) @ np.diff(right, prepend=0.0)), p.sum())


def _accuracy(p: Floats, s: Floats) -> float:
    return float(np.where(s >= THRESHOLD, p, 1 - p).mean())


def _precision(p: Floats, s: Floats) -> float:
    said = s >= THRESHOLD
    return _ratio(p[said].sum(), said.sum())


def _recall(p: Floats, s: Floats) -> float:
    return _ratio(p[s >= THRESHOLD].sum(), p.sum())


def _f1(p: Floats, s: Floats) -> float:
    said = s >= THRESHOLD
    return _ratio(2 * p[said].sum(), p.sum() + said.sum())


def _brier(p: Floats, s: Floats) -> float:
    return float((p * (1 - s) ** 2 + (1 - p) * s**2).mean())


def _log_loss(p: Floats, s: Floats) -> float:
    return float(-(p * np.log(np.clip(s, CLIP, 1)) + (1 - p) * np.log(np.clip(1 - s, CLIP, 1))).mean())


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole else float("nan")


_EXPECTED: dict[str, Callable[[Floats, Floats], float]] = {
    "auc": _auc,
    "log_loss": _log_loss,
    "brier": _brier,
    "average_precision": _average_precision,
    "accuracy": _accuracy,
    "precision": _precision,
    "recall": _recall,
    "f1": _f1,
}
