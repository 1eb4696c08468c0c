"""What one key alone cannot tell: settings that contradict each other, the task or the steps. Pure; each check yields Problems.

`values` is what `read_document` gave; a key that was refused there is None or at its default, and is not judged again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flyball.project.document import Problem, problem_at
from flyball.project.gate_checks import Steps, Values, gate_checks, holdout_step
from flyball.project.locate import Place
from flyball.project.schema import CHANNEL_KEYS, SEVERITIES
from flyball.project.wording import nearest

#: key of an alert channel -> what to write where it is missing.
CHANNEL_WANTS = {
    "key_env": "the name of the environment variable with its routing key",
    "host": 'host = the mail server, such as "smtp.example.org"',
    "from": "from = the sender's address",
    "to": "to = a list of addresses",
}


def cross_checks(values: Values, steps: Steps, refused: frozenset[Place]) -> Iterator[Problem]:
    """Every problem between settings; `steps` is empty where the pipeline's module could not be read.

    `refused`: places of values refused already; what hangs on them is not judged again.
    """
    for problem in _all(values, steps, refused):
        if problem.path not in refused:
            yield problem


def _all(values: Values, steps: Steps, refused: frozenset[Place]) -> Iterator[Problem]:
    yield from _model_columns(values)
    yield from _named_columns(values)
    yield from gate_checks(values, steps)
    yield from _cluster(values)
    yield from _rollout(values)
    yield from _triggers(values, refused)
    yield from _outcomes(values)
    yield from _false_alarms(values)
    yield from _alerts(values)
    if values["model"]["adopted"]:
        yield from _adopted(values)
    if steps:
        yield from _step_names(values, steps)


def _adopted(values: Values) -> Iterator[Problem]:
    """Without a pipeline nothing can be trained: what asks for it would be ignored."""
    pipeline, retrain = values["pipeline"], values["retrain"]
    message = (
        "needs a pipeline, and this model is adopted: write pipeline.py and take [model] adopted out, or leave this out"
    )
    asked = {
        ("pipeline", "schedule"): pipeline["schedule"] is not None,
        ("pipeline", "holdout"): pipeline["holdout"] is not None,
        ("pipeline", "module"): pipeline["module"] != "pipeline",
        ("pipeline", "model"): pipeline["model"] != "train",
        ("pipeline", "params"): bool(pipeline["params"]),
        ("retrain", "on"): bool(retrain["on"]),
        ("retrain", "new_rows"): retrain["new_rows"] is not None,
        ("retrain", "performance"): retrain["performance"] is not None,
        ("retrain", "budget"): retrain["budget"] is not None,
        ("gate", "refit"): bool(values["gate"]["refit"]),
    }
    for (section, key), is_asked in asked.items():
        if is_asked:
            yield problem_at(section, key, message=message)


def _rollout(values: Values) -> Iterator[Problem]:
    if values["model"]["task"] == "multiclass" and values["rollout"]["strategy"] == "shadow":
        message = '"shadow, full" is not yet possible for a multiclass task; use "direct"'
        yield problem_at("rollout", "strategy", message=message)


def _model_columns(values: Values) -> Iterator[Problem]:
    model = values["model"]
    if model["task"] in ("multiclass", "regression") and model["positive"] is not None:
        yield problem_at("model", "positive", message=f"belongs to a binary task, not to {model['task']}; leave it out")
    roles = {role: model[role] for role in ("target", "key", "timestamp") if model[role] is not None}
    for index, feature in enumerate(model["features"] or ()):
        for role, column in roles.items():
            if feature == column:
                message = f"is the {role}; a feature must be known at prediction time, so take it out of the list"
                yield problem_at("model", "features", index, message=message, value=feature)
    if "target" in roles:
        for role in ("key", "timestamp"):
            if roles.get(role) == roles["target"]:
                yield problem_at("model", role, message="is the target's column; name another", value=roles[role])


def _named_columns(values: Values) -> Iterator[Problem]:
    """Columns named elsewhere must be features, as far as the features are declared."""
    model = values["model"]
    for name, action in values["columns"].items():
        roles = [role for role in ("key", "timestamp", "target") if model[role] == name]
        if roles and action != "keep":
            # Outcomes are joined by them: a column that looks hashed here, and is not, would be worse than an error.
            message = f"is the {roles[0]}, which is kept as it is sent; only features can be hashed or dropped"
            yield problem_at("columns", name, message=message)
    features = model["features"]
    if features is None:
        return
    for index, name in enumerate(values["monitor"]["features"] or ()):
        if name not in features:
            message = f"is not among [model] features{nearest(name, features)}"
            yield problem_at("monitor", "features", index, message=message, value=name)
    for index, name in enumerate(values["monitor"]["slices"]):
        if name not in features:
            message = f"is not among [model] features{nearest(name, features)}"
            yield problem_at("monitor", "slices", index, message=message, value=name)
    for index, name in enumerate(values["gate"]["allow_leak"]):
        if name not in features:
            message = f"is not among [model] features{nearest(name, features)}"
            yield problem_at("gate", "allow_leak", index, message=message, value=name)
    for name in values["columns"]:
        if name not in (*features, model["key"], model["timestamp"], model["target"]):
            yield problem_at("columns", name, message=f"is not among [model] features{nearest(name, features)}")


def _cluster(values: Values) -> Iterator[Problem]:
    cluster = values["gate"]["cluster"]
    needs = {None: None, "key": "key", "day": "timestamp"}[cluster]
    if needs and values["model"][needs] is None:
        yield problem_at("gate", "cluster", message=f'"{cluster}" needs [model] {needs}; name the column there')


def _triggers(values: Values, refused: frozenset[Place]) -> Iterator[Problem]:
    retrain = values["retrain"]
    on: tuple[str, ...] = retrain["on"] or ()
    needs = {
        "performance": ("retrain", "performance", 'a promise: performance = "auc < 0.70"'),
        "volume": ("retrain", "new_rows", 'a count or a share: new_rows = 10000, or "10%"'),
        "schedule": ("pipeline", "schedule", 'a time: [pipeline] schedule = "0 3 * * *"'),
    }
    for index, trigger in enumerate(on):
        if trigger in needs:
            section, key, setting = needs[trigger]
            if values[section][key] is None and (section, key) not in refused:
                yield problem_at("retrain", "on", index, message=f"needs {setting}", value=trigger)
    if retrain["new_rows"] is not None and "volume" not in on:
        message = 'has no effect unless on names "volume"; add it there, or leave new_rows out'
        yield problem_at("retrain", "new_rows", message=message)


def _outcomes(values: Values) -> Iterator[Problem]:
    task = values["model"]["task"]
    for name, item in values["outcomes"].items():
        if (name == "label") != (item["kind"] == "label"):
            message = (
                f'"{item["kind"]}" is for other outcomes; the label is what [model] predicts: kind = "label"'
                if name == "label"
                else f'is what [model] predicts, and called label; write kind = "binary" or "number" for {name}'
            )
            yield problem_at("outcomes", name, "kind", message=message)
        if item["missing"] == "0" and item["window"] is None:
            message = '"0" is known once a window is over; write window = "30d", or missing = "unknown"'
            yield problem_at("outcomes", name, "missing", message=message)
        if item["missing"] == "0" and name == "label" and task == "multiclass":
            yield problem_at("outcomes", name, "missing", message='"0" is no class; write missing = "unknown"')


def _false_alarms(values: Values) -> Iterator[Problem]:
    count, period_s = values["monitor"]["false_alarms"]
    expected = count / period_s * values["monitor"]["window"]
    if expected >= 1:
        message = f"allows {expected:.3g} false alarms in each window; it must be less than one"
        yield problem_at("monitor", "false_alarms", message=message)


def _alerts(values: Values) -> Iterator[Problem]:
    channels = values["alerts"]["channels"]
    for name, channel in channels.items():
        yield from _channel(name, channel)
    known = tuple(dict.fromkeys(("console", *channels)))
    for severity in SEVERITIES:
        for index, name in enumerate(values["alerts"]["routes"][severity] or ()):
            if name not in known:
                path = ("alerts", "routes", severity, index)
                yield Problem(path=path, message=f"unknown channel{nearest(name, known)}", value=name)


def _channel(name: str, channel: Mapping[str, Any]) -> Iterator[Problem]:
    """Each kind has keys of its own: one that is missing, and one that nobody would read."""
    if channel["kind"] is None:  # refused already
        return
    needed, allowed = CHANNEL_KEYS[channel["kind"]]
    for key, value in channel.items():
        path: Place = ("alerts", "channels", name, key)
        if value is None and key in needed:
            what = "the name of the environment variable with its address" if key == "url_env" else CHANNEL_WANTS[key]
            yield Problem(path=path, message=f"is missing; write {what}")
        if value is not None and key not in ("kind", *needed, *allowed):
            told = "has no address" if key == "url_env" else f"has no {key}"
            article = "an" if channel["kind"][0] in "ae" else "a"
            yield Problem(path=path, message=f"{article} {channel['kind']} {told}; leave it out")
    if (channel["user_env"] is None) != (channel["password_env"] is None):
        path = ("alerts", "channels", name, "user_env" if channel["user_env"] is None else "password_env")
        yield Problem(path=path, message="is missing; a login is user_env and password_env, or neither")


def _step_names(values: Values, steps: Steps) -> Iterator[Problem]:
    pipeline = values["pipeline"]
    names = tuple(step.name for step in steps)
    for key in ("model", "holdout"):
        step = pipeline[key]
        if step is not None and step not in names:
            yield problem_at("pipeline", key, message=f"no such step{nearest(step, names)}", value=step)
    if holdout_step(values, steps) == pipeline["model"]:
        yield problem_at(
            "pipeline", "holdout", message="is the model's step; the held-out table needs a step of its own"
        )
