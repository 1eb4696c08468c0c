"""One feature of a window, judged: its statistics, each with where quiet ends, and whether it has drifted. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from flyball.stats.blocks import Place
from flyball.stats.changes import Statistic, of_missing, of_values
from flyball.stats.measures import PSI
from flyball.stats.profile import FeatureProfile, FeatureReference
from flyball.stats.quiet import Against, Quiet, quiet_of

Answer = Literal["steady", "drift", "cannot_judge"]

#: Fewer rows with a value than this in the window, and the feature's values cannot be judged.
MIN_ROWS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureVerdict:
    """One feature, judged."""

    feature: str
    #: "reported": it is shown and cannot alarm, for what it is made of is judged already.
    verdict: Answer | Literal["reported"]
    #: psi, js_distance, chi_square, missing; ks, normed_wasserstein and location for numbers; l_infinity for categories.
    statistics: Mapping[str, Statistic]
    #: what quiet was learned from: the reference's days, or theory for independent rows.
    null: Literal["blocks", "iid"]
    why: str
    #: which of the reference's rows the window was held against: all, or those of its hours, its weekday or both.
    against: Against = "all"
    #: rows of the window: in all; without a value; and, among these, with what is no value of the kind (infinity, text).
    rows: int = 0
    missing: int = 0
    invalid: int = 0
    #: rows below and above the reference's range; with a level that the reference never saw.
    below: int = 0
    above: int = 0
    unseen: int = 0

    @property
    def unseen_share(self) -> float:
        """Of the rows with a value, in [0, 1]; 0 without any."""
        return self.unseen / max(self.rows - self.missing, 1)


def alarming_count(known: FeatureReference) -> int:
    """psi, missing, and for numbers location."""
    return 3 if known.bins.kind == "number" else 2


def judge_feature(
    known: FeatureReference, seen: FeatureProfile, level: float, place: Place, *, reported: bool = False
) -> FeatureVerdict:
    """`level`: probability of a false alarm of each statistic that can alarm; `reported`: none can."""
    quiet = quiet_of(known.tally, place, values=True)
    statistics: dict[str, Statistic] = {}
    if seen.n + seen.missing >= MIN_ROWS:
        everyone = quiet_of(known.tally, place, values=False)
        if len(everyone.total.missing) and int(everyone.total.rows[0] + everyone.total.missing[0]):
            statistics["missing"] = of_missing(seen, everyone, level)
    judged = seen.n >= MIN_ROWS and int(quiet.total.rows[0]) > 0
    if judged:
        statistics |= of_values(known, seen, quiet, level)
    if reported:
        statistics = {name: replace(one, alarm=False) for name, one in statistics.items()}
    alarms = {name: statistic for name, statistic in statistics.items() if statistic.alarm}
    verdict: Answer = "drift" if alarms else "steady" if judged else "cannot_judge"
    return FeatureVerdict(
        feature=known.name,
        verdict="reported" if reported and judged else verdict,
        statistics=statistics,
        null="iid" if quiet.days is None else "blocks",
        why=_why(seen, quiet, alarms, judged=judged) + _blind(known, seen, quiet, statistics, alarms),
        against=quiet.against,
        rows=seen.n + seen.missing,
        missing=seen.missing,
        invalid=seen.invalid,
        below=seen.below,
        above=seen.above,
        unseen=seen.unseen,
    )


_OF = {
    "all": "",
    "weekday": " of this weekday",
    "hours": " at these hours",
    "hours and weekday": " at these hours of this weekday",
}


def _why(seen: FeatureProfile, quiet: Quiet, alarms: Mapping[str, Statistic], *, judged: bool) -> str:
    if not alarms and not judged:
        if quiet.total.rows.sum() == 0:
            return f"the reference has no values{_OF[quiet.against]}"
        return f"{seen.n} rows with a value; at least {MIN_ROWS} are needed"
    told = [_told(name, alarms[name]) for name in sorted(alarms, key=lambda name: -alarms[name].strength)]
    if alarms and seen.unseen:
        told.append(f"{seen.unseen} rows with an unseen level")
    if alarms and seen.below + seen.above:
        told.append(f"{seen.below} rows below and {seen.above} above the reference's range")
    if alarms and seen.invalid:
        told.append(f"{seen.invalid} rows hold no number")
    return "; ".join(told) or f"within its quiet days{_OF[quiet.against]}"


def _blind(
    known: FeatureReference,
    seen: FeatureProfile,
    quiet: Quiet,
    statistics: Mapping[str, Statistic],
    alarms: Mapping[str, Statistic],
) -> str:
    """Said where days differ so much (each has weather of its own) that no window, however odd, would pass psi's limit."""
    psi = statistics.get("psi")
    if psi is None or alarms or psi.threshold <= 1:
        return ""
    total = quiet.total.counts[0]
    oddest = np.zeros_like(total)
    oddest[int(total.argmin())] = seen.n
    if float(PSI.between(oddest, total)) > psi.threshold:
        return ""
    rest = "location and missing values" if known.bins.kind == "number" else "missing values"
    return f"; these differ by more than psi can show, so that only {rest} can alarm"


def _told(name: str, statistic: Statistic) -> str:
    if name == "missing":
        return f"missing in {statistic.value:.1%} of rows, usually {statistic.null_mean:.1%}"
    between = f"{statistic.effect_low:+.2f} to {statistic.effect_high:+.2f}"
    if name == "location":
        return f"shifted by {statistic.effect:+.2f} sd ({between}; z {statistic.value:+.1f}, limit {statistic.threshold:.1f})"
    return f"{name} {statistic.value:.3f}, limit {statistic.threshold:.3f}; {statistic.effect:.1%} of rows moved"
