"""From a score to the chance that it stands for: a calibration map, fitted on held-out rows and kept as plain numbers.

With at least MANY rows isotonic (Zadrozny and Elkan 2002) over bins of equal counts, which wants rows enough; with fewer
the logistic curve of Platt (1999), on the score's logit. Between its knots a map is a straight line. The map is fitted
again on RESAMPLES resamples of the rows, of whole days where there are days: how far these lie apart is its own error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from flyball.stats.answers import Floats, Ints

#: fewer held-out rows than this, or of either outcome, and no map is fitted.
LEAST_ROWS = 200
LEAST_OF_EITHER = 10
#: rows from which the map is isotonic (Niculescu-Mizil and Caruana 2005, section 5).
MANY = 1_000
#: knots at most, and the rows that each stands for at least.
KNOTS = 50
KNOT_ROWS = 20
RESAMPLES = 50
#: days from which whole days are drawn.
LEAST_DAYS = 5

_CLIP = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Calibration:
    """A map from score to chance."""

    #: held-out rows it was fitted on.
    rows: int
    #: shape (k,), rising: scores.
    knots: Floats
    #: shape (k,): the chance at each.
    chances: Floats
    #: shape (RESAMPLES, k): the same of each resample.
    resampled: Floats

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "knots": np.round(self.knots, 9).tolist(),
            "chances": np.round(self.chances, 9).tolist(),
            "resampled": np.round(self.resampled, 6).tolist(),
        }


def calibration_from_json(document: Mapping[str, Any]) -> Calibration:
    """What `Calibration.to_json` gave. Raises KeyError, ValueError, TypeError where it is something else."""
    return Calibration(
        rows=int(document["rows"]),
        knots=np.asarray(document["knots"], dtype=np.float64),
        chances=np.asarray(document["chances"], dtype=np.float64),
        resampled=np.asarray(document["resampled"], dtype=np.float64),
    )


def fit_calibration(
    happened: npt.ArrayLike, score: npt.ArrayLike, days: npt.ArrayLike | None = None, *, seed: int = 0
) -> Calibration | None:
    """The map of n held-out rows; None where there are too few of them, or too few of either outcome.

    `happened`: shape (n,), 0 or 1: what the score is the probability of. `score`: shape (n,), in [0, 1]. `days`: shape
    (n,): rows of one value move together, and are drawn together.
    """
    y, s = np.asarray(happened, dtype=np.float64), np.asarray(score, dtype=np.float64)
    if len(y) < LEAST_ROWS or min(y.sum(), len(y) - y.sum()) < LEAST_OF_EITHER:
        return None
    bins = min(KNOTS, len(y) // KNOT_ROWS)
    code = np.empty(len(y), dtype=np.int64)
    code[np.argsort(s, kind="stable")] = np.arange(len(y)) * bins // len(y)
    knots, _ = _merged(np.bincount(code, weights=s) / np.bincount(code))
    fit = _isotonic if len(y) >= MANY else _platt
    random = np.random.default_rng(seed)
    resampled = [fit(y[rows], s[rows], code[rows], knots) for rows in _resamples(len(y), days, random)]
    return Calibration(rows=len(y), knots=knots, chances=fit(y, s, code, knots), resampled=np.stack(resampled))


def chance(calibration: Calibration, score: npt.ArrayLike, resample: int | None = None) -> Floats:
    """Shape (n,), in [0, 1]: the chance at each score, by the map itself or by that of one resample."""
    along = calibration.chances if resample is None else calibration.resampled[resample]
    return np.interp(np.asarray(score, dtype=np.float64), calibration.knots, along)


def _merged(means: Floats) -> tuple[Floats, Ints]:
    """Strictly rising knots: bins that equal scores were spread over are one."""
    return np.unique(means, return_inverse=True)


def _resamples(count: int, days: npt.ArrayLike | None, random: np.random.Generator) -> list[Ints]:
    """Rows drawn again, RESAMPLES times."""
    if days is None or len(np.unique(np.asarray(days))) < LEAST_DAYS:
        return [random.integers(0, count, count) for _ in range(RESAMPLES)]
    _, day = np.unique(np.asarray(days), return_inverse=True)
    order = np.argsort(day, kind="stable")
    of_day = np.split(order, np.cumsum(np.bincount(day))[:-1])
    return [
        np.concatenate([of_day[item] for item in random.integers(0, len(of_day), len(of_day))])
        for _ in range(RESAMPLES)
    ]


def _isotonic(y: Floats, s: Floats, code: Ints, knots: Floats) -> Floats:
    from scipy.optimize import isotonic_regression  # slow, and whoever only reads a map needs it not

    bins = int(code.max()) + 1
    rows = np.bincount(code, minlength=bins)
    held = rows > 0
    # Half a row more on both sides: no chance is 0 or 1 for what a few rows did.
    share = (np.bincount(code, weights=y, minlength=bins)[held] + 0.5) / (rows[held] + 1)
    rising = isotonic_regression(share, weights=rows[held].astype(np.float64)).x
    at = np.bincount(code, weights=s, minlength=bins)[held] / rows[held]
    places, which = _merged(at)
    means = np.bincount(which, weights=rising * rows[held]) / np.bincount(which, weights=rows[held])
    return np.interp(knots, places, means)


def _platt(y: Floats, s: Floats, code: Ints, knots: Floats) -> Floats:
    """Newton's steps on two parameters, with Platt's targets, which are a little off 0 and 1."""
    del code
    positives = y.sum()
    target = np.where(y == 1, (positives + 1) / (positives + 2), 1 / (len(y) - positives + 2))
    design = np.stack([np.ones(len(y)), logit(np.clip(s, _CLIP, 1 - _CLIP))], axis=1)
    weights = np.array([0.0, 1.0])
    for _ in range(25):
        p = expit(design @ weights)
        bent = design * (p * (1 - p))[:, None]
        step = np.linalg.solve(design.T @ bent + 1e-6 * np.eye(2), design.T @ (target - p))
        weights = weights + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-8:
            break
    found: Floats = expit(weights[0] + weights[1] * logit(np.clip(knots, _CLIP, 1 - _CLIP)))
    return found
