"""What one key alone cannot tell of metrics and rules: do they fit the task, the steps, and each other? Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flyball.project.document import Problem, problem_at
from flyball.project.rules import metrics_named, parse_rule
from flyball.project.steps import StepDeclaration, upstream
from flyball.project.wording import nearest
from flyball.stats.names import GREATER_IS_BETTER, METRIC_NAMES, SERVING_METRICS

#: section -> key -> value, as `read_document` gives them.
Values = Mapping[str, Mapping[str, Any]]
Steps = Sequence[StepDeclaration]


def gate_checks(values: Values, steps: Steps) -> Iterator[Problem]:
    """Every problem of the metric, the gate's rules and the promise; `steps` is empty where they could not be read."""
    yield from _metrics(values)
    yield from _gate_rules(values, steps)
    if steps:
        yield from _refit(values, steps)


def holdout_step(values: Values, steps: Steps) -> str | None:
    """The step that gives the held-out table: as named, else "validate" where there is one."""
    named: str | None = values["pipeline"]["holdout"]
    return named or ("validate" if any(step.name == "validate" for step in steps) else None)


def refit_obstacle(values: Values, steps: Steps) -> str | None:
    """Why what passed the gate cannot be trained once more on all rows; None where it can."""
    model = values["pipeline"]["model"]
    if values["model"]["timestamp"] is None:
        return "refit needs the event time: name the column under [model] timestamp, or write refit = false"
    if holdout_step(values, steps) is None:
        return (
            "refit adds the held-out rows, and no step holds any out: declare a step validate, or write refit = false"
        )
    reaching = upstream(steps, model)
    if not any("run" in step.given for step in steps if step.name in reaching):
        return f"no step up to {model} takes `run`, so none can tell: take `run` and use flyball.split, or write refit = false"
    return None


def _metrics(values: Values) -> Iterator[Problem]:
    task, primary = values["model"]["task"], values["model"]["primary_metric"]
    if task is not None and primary is not None and primary not in METRIC_NAMES[task]:
        yield problem_at("model", "primary_metric", message=_unknown_metric(primary, task, METRIC_NAMES[task]))


def _gate_rules(values: Values, steps: Steps) -> Iterator[Problem]:
    task = values["model"]["task"]
    for key in ("change", "refresh", "always"):
        for index, text in enumerate(values["gate"][key] or ()):
            fault = _rule_fault(text, task, serving=True) or _gate_fault(text, key, values, steps)
            if fault:
                yield problem_at("gate", key, index, message=fault, value=text)
    yield from _slices(values, steps)
    promise = values["retrain"]["performance"]
    if promise is not None:
        fault = _rule_fault(promise, task, serving=False)
        if not fault and parse_rule(promise).against_champion:
            fault = 'must be absolute, as no champion answers the same rows in production: METRIC < NUMBER, such as "auc < 0.70"'
        if fault:
            yield problem_at("retrain", "performance", message=fault, value=promise)


def _slices(values: Values, steps: Steps) -> Iterator[Problem]:
    task, gate = values["model"]["task"], values["gate"]
    if gate["slices"] and steps and holdout_step(values, steps) is None:
        message = "no step holds out rows to cut; declare a step validate, or name one under [pipeline] holdout"
        yield problem_at("gate", "slices", message=message)
    if gate["slice_floor"] and not gate["slices"]:
        yield problem_at(
            "gate", "slice_floor", message='has no effect without slices = ["COLUMN", ...]; name the columns'
        )
    for index, text in enumerate(gate["slice_floor"] or ()):
        fault = _rule_fault(text, task, serving=False) or _floor_fault(text)
        if fault:
            yield problem_at("gate", "slice_floor", index, message=fault, value=text)


def _floor_fault(text: str) -> str | None:
    rule = parse_rule(text)
    allowed = ">=" if GREATER_IS_BETTER[rule.metric] else "<="
    return (
        None if rule.comparison == allowed else f"is no floor; a slice's floor is written {rule.metric} {allowed} ..."
    )


def _rule_fault(text: str, task: str | None, *, serving: bool) -> str | None:
    """What is wrong with a rule whatever it is for. Unknown metrics come first: `champion.acu` is a typo, not a comparison."""
    if task is not None:
        known = METRIC_NAMES[task] + (SERVING_METRICS if serving else ())
        for name in metrics_named(text):
            if name not in known:
                return _unknown_metric(name, task, known)
    try:
        parse_rule(text)
    except ValueError as error:
        return str(error).removeprefix(f"{text!r} ")
    return None


def _gate_fault(text: str, key: str, values: Values, steps: Steps) -> str | None:
    rule = parse_rule(text)
    if key == "always" and rule.against_champion:
        return "holds for a first version too, which has no champion; move it to change or refresh, or compare with a number"
    if rule.metric in SERVING_METRICS and rule.against_champion:
        return f"{rule.metric} is measured over the serving path, not row by row; write {rule.metric} <= NUMBER"
    if rule.metric not in SERVING_METRICS and steps and holdout_step(values, steps) is None:
        return (
            "no step holds out rows to measure this on; declare a step validate, or name one under [pipeline] holdout"
        )
    return None


def _refit(values: Values, steps: Steps) -> Iterator[Problem]:
    obstacle = refit_obstacle(values, steps)
    if values["gate"]["refit"] and obstacle:
        yield problem_at("gate", "refit", message=obstacle)


def _unknown_metric(name: str, task: str, known: tuple[str, ...]) -> str:
    return f'unknown metric "{name}" for a {task} task{nearest(name, known)}'
