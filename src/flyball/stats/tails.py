"""Is a window's difference from the reference beyond chance, if rows were independent? Tails that hold near p = 1e-6.

Both sides are samples: n rows of the window, N of the reference. A verdict over 500 features asks each statistic for
p near 1e-5, where the usual normal and chi-square approximations of sparse counts are wrong by factors; so counts of two
kinds get their exact distribution, means a bound that holds at any sample size, and sparse bins are pooled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri, gammaln, ndtri

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

#: Rows of the smaller sample that each pooled bin is expected to hold, for the G-test.
LEAST_EXPECTED = 5
#: Standard deviation of a hypergeometric count beyond which it is taken as normal.
WIDE = 100.0
#: Multiples of the normal solution at which the exponent of `location_root` is looked for.
_TILTS = np.geomspace(1 / 3, 3, 21)


def g_test(window: Ints, reference: Ints, level: float, *, ordered: bool) -> tuple[float, float]:
    """The G statistic of two samples' counts over the same bins (shape (bins,) each), and its limit at `level`.

    G = 2 sum O ln(O / E), with Williams' correction (1976) so that chi-square's tail holds for moderate counts. Bins are
    pooled until every one may expect LEAST_EXPECTED rows on either side: with their neighbours where they are `ordered`,
    else with the next rarest. With fewer than two bins left nothing can differ: G is 0.
    """
    both = _pooled(np.stack([window, reference]), ordered)
    total, n = both.sum(axis=0), both.sum(axis=1)
    size, rows = len(total), float(n.sum())
    if size < 2 or n.min() == 0:
        return 0.0, float(chdtri(1, level))
    expected = n[:, None] * (total / rows)
    ratio = np.where(both > 0, both / expected, 1.0)
    g = 2 * float((both * np.log(ratio)).sum())
    correction = 1 + (rows * (1 / n).sum() - 1) * (rows * (1 / total).sum() - 1) / (6 * rows * (size - 1))
    return max(g, 0.0) / float(correction), float(chdtri(size - 1, level))


def _pooled(both: Ints, ordered: bool) -> Floats:
    """Columns of (2, bins) added up to groups of enough rows."""
    return pooled(both.astype(np.float64), *pools(both, ordered=ordered))


def pooled(counts: npt.NDArray[Any], order: Ints, starts: Ints) -> npt.NDArray[Any]:
    """Counts of shape (..., bins) added up to the groups that `pools` found."""
    sums: npt.NDArray[Any] = np.add.reduceat(counts[..., order], starts, axis=-1)
    return sums


def pools(both: Ints, *, ordered: bool) -> tuple[Ints, Ints]:
    """Groups of the columns of (2, bins) that may expect enough rows on either side: the columns in order, and at which of
    these each group starts. What is left over at the end joins the last group.
    """
    total, n = both.sum(axis=0), both.sum(axis=1)
    need = LEAST_EXPECTED * float(n.sum()) / max(int(n.min()), 1)
    if total.min() >= need:
        return np.arange(len(total)), np.arange(len(total))
    order = np.arange(len(total)) if ordered else np.argsort(total, kind="stable")
    starts, held = [0], 0
    for place, count in enumerate(total[order].tolist()):
        if held >= need:
            starts.append(place)
            held = 0
        held += count
    if held < need and len(starts) > 1:
        starts.pop()
    return order, np.array(starts)


def share_limits(part: int, rows: int, reference_part: int, reference_rows: int, level: float) -> tuple[float, float]:
    """Between which counts `part` of `rows` stays, but for a probability of at most `level`, given how many there are in
    both samples together: Fisher's exact test, two-sided with half the level on either side.

    A `part` at or beyond a limit is significant. -1 and rows + 1 where none is.
    """
    marked, population = part + reference_part, rows + reference_rows
    if marked in (0, population):
        return -1.0, rows + 1.0
    mean = rows * marked / population
    variance = mean * (1 - marked / population) * reference_rows / max(population - 1, 1)
    sd = float(np.sqrt(variance))
    if sd > WIDE:
        reach = float(ndtri(1 - level / 2)) * sd + 0.5
        return mean - reach, mean + reach
    lowest, highest = max(0, marked - reference_rows), min(rows, marked)
    reach = 12 * sd + 40
    counts = np.arange(max(lowest, int(mean - reach)), min(highest, int(mean + reach)) + 1)
    log_mass = (
        _log_choose(marked, counts)
        + _log_choose(population - marked, rows - counts)
        - _log_choose(population, np.array([rows]))
    )
    mass = np.exp(log_mass)
    below, above = np.cumsum(mass), np.cumsum(mass[::-1])[::-1]
    low, high = np.flatnonzero(below <= level / 2), np.flatnonzero(above <= level / 2)
    return (
        float(counts[low[-1]]) if len(low) else float(counts[0] - 1),
        float(counts[high[0]]) if len(high) else float(counts[-1] + 1),
    )


def _log_choose(n: int, k: Ints) -> Floats:
    chosen: Floats = gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)
    return chosen


def location_root(window: Ints, reference: Ints) -> float:
    """How far the window's rows rank above (+) or below (-) the reference's: the signed root of twice Chernoff's exponent.

    Counts over ascending bins, shape (bins,); a row's score is its bin's middle rank in both samples together, as in
    Wilcoxon's test. P(root >= r) <= exp(-r * r / 2) for independent rows of any distribution, at any sample sizes;
    `root_limit` is where that reaches a level. The two samples' cumulant functions are those of the pooled scores.
    """
    total, n, rows = window + reference, float(window.sum()), float(reference.sum())
    if n == 0 or rows == 0:
        return 0.0
    share = total / total.sum()
    score = np.cumsum(share) - share / 2 - 0.5
    variance = float((share * score**2).sum())
    apart = float((window * score).sum() / n - (reference * score).sum() / rows)
    if variance <= 0 or apart == 0:
        return 0.0
    side = np.sign(apart)
    tilt = _TILTS * abs(apart) / (variance * (1 / n + 1 / rows))
    exponent = tilt * abs(apart) - n * _cumulant(share, side * score, tilt / n)
    exponent -= rows * _cumulant(share, -side * score, tilt / rows)
    return float(side * np.sqrt(2 * max(float(exponent.max()), 0.0)))


def root_limit(level: float) -> float:
    """What |`location_root`| exceeds with a probability of at most `level`."""
    return float(np.sqrt(-2 * np.log(level / 2)))


def _cumulant(share: Floats, score: Floats, tilt: Floats) -> Floats:
    value: Floats = np.log((share * np.exp(np.clip(tilt[:, None] * score, -700, 700))).sum(axis=1))
    return value
