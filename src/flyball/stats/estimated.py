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

#: labels drawn at once at most: many calls on few numbers cost more than the numbers.
_AT_ONCE = 1_000_000

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
    s = np.sort(_taken(np.asarray(score, dtype=np.float64)))
    if not len(s):
        return {}
    values = {name: float(metric(chance(calibration, s), s)) for name, metric in _EXPECTED.items()}
    random = np.random.default_rng(seed)
    drawn: dict[str, list[Floats]] = {name: [] for name in values}
    step = max(_AT_ONCE // len(s), 1)
    for first in range(0, RESAMPLES, step):
        numbers = range(first, min(first + step, RESAMPLES))
        chances = np.stack([chance(calibration, s, number) for number in numbers])
        y = (random.random(chances.shape) < chances).astype(np.float64)
        # Labels are chances of 0 and 1.
        for name, metric in _EXPECTED.items():
            drawn[name].append(metric(y, s))
    return {name: _around(value, np.concatenate(drawn[name]), len(s), confidence) for name, value in values.items()}


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


# A metric on rows that are positive in parts: `p` of shape (..., n) their chances, `s` of shape (n,) their scores, rising;
# shape (...).


def _auc(p: Floats, s: Floats) -> Floats:
    """P(a positive scores above a negative), ties half."""
    positives, negatives = _up_to_each(p, s), _up_to_each(1 - p, s)
    below = negatives - np.diff(negatives, prepend=0.0, axis=-1) / 2
    # A row is no pair with itself.
    own = (p * (1 - p)).sum(axis=-1)
    pairs = p.sum(axis=-1) * (1 - p).sum(axis=-1) - own
    return _ratio((np.diff(positives, prepend=0.0, axis=-1) * below).sum(axis=-1) - own / 2, pairs)


def _average_precision(p: Floats, s: Floats) -> Floats:
    right = _up_to_each(p[..., ::-1], s[::-1])
    said = _up_to_each(np.ones(len(s)), s[::-1])
    return _ratio((right / said * np.diff(right, prepend=0.0, axis=-1)).sum(axis=-1), p.sum(axis=-1))


def _up_to_each(p: Floats, s: Floats) -> Floats:
    """Sums of `p` over the rows up to each distinct score's last one; shape (..., scores)."""
    last = np.append(np.flatnonzero(s[1:] != s[:-1]), len(s) - 1)
    return np.asarray(np.cumsum(p, axis=-1)[..., last])


def _accuracy(p: Floats, s: Floats) -> Floats:
    return _mean(np.where(s >= THRESHOLD, p, 1 - p))


def _precision(p: Floats, s: Floats) -> Floats:
    said = s >= THRESHOLD
    return _ratio(p[..., said].sum(axis=-1), said.sum())


def _recall(p: Floats, s: Floats) -> Floats:
    return _ratio(p[..., s >= THRESHOLD].sum(axis=-1), p.sum(axis=-1))


def _f1(p: Floats, s: Floats) -> Floats:
    said = s >= THRESHOLD
    return _ratio(2 * p[..., said].sum(axis=-1), p.sum(axis=-1) + said.sum())


def _brier(p: Floats, s: Floats) -> Floats:
    return _mean(p * (1 - s) ** 2 + (1 - p) * s**2)


def _log_loss(p: Floats, s: Floats) -> Floats:
    return _mean(-(p * np.log(np.clip(s, CLIP, 1)) + (1 - p) * np.log(np.clip(1 - s, CLIP, 1))))


def _mean(each: Floats) -> Floats:
    return np.asarray(each.mean(axis=-1))


def _ratio(part: npt.ArrayLike, whole: npt.ArrayLike) -> Floats:
    """nan where there is no whole."""
    parts, wholes = np.broadcast_arrays(np.asarray(part, dtype=np.float64), np.asarray(whole, dtype=np.float64))
    found: Floats = np.divide(parts, wholes, out=np.full(parts.shape, np.nan), where=wholes != 0)
    return found


_EXPECTED: dict[str, Callable[[Floats, Floats], Floats]] = {
    "auc": _auc,
    "log_loss": _log_loss,
    "brier": _brier,
    "average_precision": _average_precision,
    "accuracy": _accuracy,
    "precision": _precision,
    "recall": _recall,
    "f1": _f1,
}
