"""What passed the gate, trained once more on all rows: what of it can be judged, is. Pure.

Its metrics cannot: there are no labelled rows left that it has not seen. They stand by its gated twin's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from flyball.project.rules import Rule
from flyball.registry.gate import absolute
from flyball.registry.records import RuleResult, Verdict
from flyball.stats.names import SERVING_METRICS

#: a refit whose probabilities differ by more than this from what passed the gate, on average, is another model. Large,
#: because these rows are new to the one and training data to the other: 0.09 to 0.12 on a winter week of flights.
MAX_DISAGREEMENT = 0.25


def with_refit(
    verdict: Verdict, rules: Sequence[Rule], measured: Mapping[str, float], *, task: str, disagreement: float
) -> Verdict:
    """The verdict with the refitted model's own lines. `measured`: of its bundle; `disagreement`: mean difference of its
    scores and its twin's on the same rows.
    """
    again = [rule for rule in rules if rule.metric in SERVING_METRICS and not rule.against_champion]
    lines = [absolute(rule, measured.get(rule.metric)) for rule in again]
    told = [replace(line, rule=f"{line.rule}, refitted", why=f"refitted: {line.why}") for line in lines]
    judged = [rule.text for rule in rules if rule not in again]
    results = (*verdict.results, *told, _agrees(judged, task, disagreement))
    return replace(verdict, results=results, passed=all(item.passed for item in results))


def _agrees(judged: Sequence[str], task: str, disagreement: float) -> RuleResult:
    """A regression's values have no scale of their own, so their difference is told and bars nothing."""
    good = task == "regression" or disagreement <= MAX_DISAGREEMENT
    unit = "" if task == "regression" else " in probability"
    if good:
        why = f"refitted on all rows; mean difference {disagreement:.3f}{unit} from what passed"
    else:
        why = (
            f"the refitted model disagrees with the one that passed the gate: mean difference {disagreement:.3f}{unit}, at "
            f"most {MAX_DISAGREEMENT} is allowed; is the newest data sound?"
        )
    if judged:
        why += f"; {', '.join(judged)} judged on its gated twin alone, as the refit has seen the held-out rows"
    return RuleResult(
        rule="refit agrees with what passed",
        candidate=disagreement,
        champion=None,
        difference=None,
        passed=good,
        why=why,
    )
