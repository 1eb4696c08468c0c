"""A project's folder as records, or every finding with file and line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flyball.errors import ProjectError
from flyball.project.load import check_project, load_project, load_steps

PIPELINE = """\
from flyball import step

@step
def collect(window): ...

@step
def train(collect, params, seed, run): ...

@step
def validate(train, collect, run): ...
"""

MODEL = """\
[model]
name = "flight-delay"
task = "binary"
target = "late"
"""

#: every section and key of the contract that is honoured today.
WHOLE = """\
[project]
name = "flights"

[model]
name = "flight-delay"
task = "binary"
target = "late"
positive = "yes"
key = "tailnum"
timestamp = "sched_dep"
features = ["temp", "carrier"]
primary_metric = "log_loss"

[pipeline]
module = "pipeline"
model = "train"
holdout = "validate"
schedule = "0 3 * * *"
timezone = "America/New_York"
seed = 11
params = { trees = 200, rate = 0.1, deep = { names = ["a"] } }

[gate]
change = ["auc > champion.auc"]
refresh = ["auc >= champion.auc - 0.01"]
always = ["auc >= 0.6", "p99_ms <= 20"]
confidence = 0.9
cluster = "day"
refit = true
approval = "auto"

[rollout]
strategy = "shadow, full"
min_outcomes = 500
max_days = 7
on_new_candidate = "replace"

[outcomes.label]
kind = "label"
missing = "unknown"

[outcomes.revenue]
kind = "number"
window = "7d"
missing = "0"

[monitor]
window = "12h"
label_delay = "36h"
false_alarms = "1/50d"
features = ["temp"]

[columns]
temp = "hash"
carrier = "drop"

[retrain]
on = ["schedule", "drift", "performance", "volume"]
new_rows = 10_000
performance = "auc < 0.70"
mode = "suggest"
cooldown = "12h"
budget = "20/365d"
min_new_labels = 100

[alerts.channels.ops]
kind = "webhook"
url_env = "OPS_WEBHOOK_URL"

[alerts.routes]
warning = ["ops"]
critical = ["console", "ops"]

[serving]
workers = 4
max_body_mb = 0.5
timeout_s = 2.5
engine = "native"
parity_tolerance = 0.001
durability = "disk"
auth = "token"
loading = "lazy"

[journal]
sample = 0.25
segment_s = 30
"""


def write(folder: Path, settings: str, pipeline: str | None = PIPELINE, module: str = "pipeline.py") -> Path:
    (folder / "flyball.toml").write_text(settings)
    if pipeline is not None:
        (folder / module).parent.mkdir(exist_ok=True)
        (folder / module).write_text(pipeline)
    return folder


def found(folder: Path) -> list[str]:
    return [str(finding) for finding in check_project(folder)]


def test_four_lines_are_a_project_and_the_rest_has_defaults(tmp_path: Path) -> None:
    """What is not written is settled by the task and by the steps there are."""
    project = load_project(write(tmp_path, MODEL))
    assert (project.name, project.directory) == ("flight-delay", tmp_path)
    assert (project.model.positive, project.model.primary_metric) == ("1", "auc")
    assert (project.pipeline.model, project.pipeline.holdout) == ("train", "validate")
    assert (project.pipeline.timezone, project.pipeline.seed, project.pipeline.params) == ("UTC", 7, {})
    assert [rule.text for rule in project.gate.change] == ["auc > champion.auc"]
    assert [(rule.text, rule.value) for rule in project.gate.refresh] == [("auc >= champion.auc - 0.01", -0.01)]
    assert (project.gate.always, project.gate.confidence, project.gate.cluster) == ((), 0.95, None)
    assert project.gate.refit is False
    assert (project.rollout.strategy, project.rollout.min_outcomes, project.rollout.max_days) == ("shadow", 200, 14.0)
    assert [(item.name, item.kind, item.window_s) for item in project.outcomes] == [("label", "label", None)]
    assert (project.monitor.window_s, project.monitor.label_delay_s) == (86_400.0, 86_400.0)
    assert project.monitor.false_alarms_per_window == 0.01
    assert (project.retrain.on, project.retrain.mode, project.retrain.cooldown_s) == ((), "auto", 86_400.0)
    assert (project.retrain.budget, project.retrain.min_new_labels) == (None, 0)
    assert [(channel.name, channel.kind) for channel in project.alerts.channels] == [("console", "console")]
    assert project.alerts.routes == {"info": ("console",), "warning": ("console",), "critical": ("console",)}
    assert (project.serving.workers, project.serving.max_body_bytes, project.serving.timeout_s) == (2, 16_777_216, 10.0)
    assert (project.serving.durability, project.serving.auth) == ("process", None)
    assert project.serving.loading == "eager"
    assert (project.serving.engine, project.serving.parity_tolerance) == ("auto", 1e-5)
    assert (project.journal.sample, project.journal.segment_s) == (1.0, 60.0)


def test_the_whole_contract_is_read(tmp_path: Path) -> None:
    """Every key that is honoured today arrives in its record, durations in seconds."""
    project = load_project(write(tmp_path, WHOLE))
    assert project.name == "flights"
    assert (project.model.key, project.model.timestamp, project.model.positive) == ("tailnum", "sched_dep", "yes")
    assert (project.model.features, project.model.primary_metric) == (("temp", "carrier"), "log_loss")
    assert (project.pipeline.schedule, project.pipeline.timezone) == ("0 3 * * *", "America/New_York")
    assert project.pipeline.params == {"trees": 200, "rate": 0.1, "deep": {"names": ["a"]}}
    assert [rule.text for rule in project.gate.always] == ["auc >= 0.6", "p99_ms <= 20"]
    assert (project.gate.confidence, project.gate.cluster, project.gate.refit) == (0.9, "day", True)
    assert (project.rollout.max_days, project.rollout.on_new_candidate) == (7.0, "replace")
    assert (project.monitor.window_s, project.monitor.label_delay_s) == (43_200.0, 129_600.0)
    assert project.monitor.false_alarms_per_window == 0.01
    assert project.monitor.features == ("temp",)
    assert project.columns == {"temp": "hash", "carrier": "drop"}
    assert project.retrain.on == ("schedule", "drift", "performance", "volume")
    assert (project.retrain.new_rows, project.retrain.mode, project.retrain.cooldown_s) == (10_000, "suggest", 43_200.0)
    assert project.retrain.performance is not None
    assert project.retrain.performance.value == 0.7
    assert (project.retrain.budget, project.retrain.budget_window_s) == (20, 31_536_000.0)
    assert [(channel.name, channel.url_env) for channel in project.alerts.channels] == [
        ("console", None),
        ("ops", "OPS_WEBHOOK_URL"),
    ]
    assert project.alerts.routes == {"info": ("console",), "warning": ("ops",), "critical": ("console", "ops")}
    assert (project.serving.max_body_bytes, project.serving.timeout_s) == (524_288, 2.5)
    assert (project.serving.durability, project.journal.sample) == ("disk", 0.25)
    assert (project.serving.auth, project.serving.loading) == ("token", "lazy")
    assert (project.serving.engine, project.serving.parity_tolerance) == ("native", 0.001)


@pytest.mark.parametrize(
    ("task", "metric", "change", "refresh"),
    [
        ("multiclass", "accuracy", "accuracy > champion.accuracy", "accuracy >= champion.accuracy - 0.01"),
        ("regression", "rmse", "rmse < champion.rmse", "rmse <= champion.rmse"),
    ],
)
def test_the_default_gate_speaks_the_tasks_metric(
    tmp_path: Path, task: str, metric: str, change: str, refresh: str
) -> None:
    """A smaller error is better; a margin is known only for metrics from 0 to 1."""
    project = load_project(write(tmp_path, MODEL.replace("binary", task)))
    assert (project.model.primary_metric, project.model.positive) == (metric, None)
    assert [rule.text for rule in project.gate.change] == [change]
    assert [rule.text for rule in project.gate.refresh] == [refresh]


def test_without_a_held_out_table_the_gate_compares_nothing(tmp_path: Path) -> None:
    """No step validate, no hold-out, no rules by default."""
    project = load_project(write(tmp_path, MODEL, "from flyball import step\n@step\ndef train(run): ...\n"))
    assert project.pipeline.holdout is None
    assert project.gate.change == project.gate.refresh == ()


@pytest.mark.parametrize(
    ("written", "refit", "ahead"), [("true", True, False), ("false", False, False), ('"ahead"', True, True)]
)
def test_a_refit_may_run_ahead_of_the_verdict(tmp_path: Path, written: str, refit: bool, ahead: bool) -> None:
    """`refit = "ahead"`: beside the candidate."""
    gate = load_project(write(tmp_path, WHOLE.replace("refit = true", f"refit = {written}"))).gate
    assert (gate.refit, gate.refit_ahead) == (refit, ahead)


@pytest.mark.parametrize(
    ("timestamp", "pipeline", "refit"),
    [
        ('timestamp = "t"', PIPELINE, True),
        ("", PIPELINE, False),
        ('timestamp = "t"', PIPELINE.replace(", seed, run", ""), False),
        ('timestamp = "t"', PIPELINE.replace(", seed, run", "").replace("collect(window)", "collect(run)"), True),
        ('timestamp = "t"', PIPELINE.replace("validate", "report"), False),
    ],
)
def test_a_refit_is_the_default_where_it_is_possible(
    tmp_path: Path, timestamp: str, pipeline: str, refit: bool
) -> None:
    """It needs event times, held-out rows, and a step on the model's way that takes `run`."""
    assert load_project(write(tmp_path, f"{MODEL}{timestamp}\n", pipeline)).gate.refit is refit


def test_a_schedule_that_is_written_is_a_trigger(tmp_path: Path) -> None:
    """A schedule needs no second mention under [retrain] on."""
    settings = MODEL + '[pipeline]\nschedule = "0 3 * * *"\n[retrain]\non = ["drift"]\n'
    assert load_project(write(tmp_path, settings)).retrain.on == ("schedule", "drift")


def test_a_module_may_lie_in_a_package(tmp_path: Path) -> None:
    """`module = "steps.main"` is steps/main.py."""
    settings = MODEL + '[pipeline]\nmodule = "steps.main"\n'
    project = load_project(write(tmp_path, settings, module="steps/main.py"))
    assert [step.name for step in load_steps(project)] == ["collect", "train", "validate"]


#: what is added after the four lines of MODEL -> findings, one a line.
REFUSALS = {
    # unknown names
    "[gates]": '5: [gates]: unknown section; did you mean "gate"? (project, model, pipeline, gate, rollout, outcomes, '
    "monitor, columns, retrain, alerts, serving, journal)",
    "[gate]\nchagne = []": '6: [gate] chagne: unknown key; did you mean "change"? (change, refresh, always, confidence, '
    "cluster, refit, slices, slice_floor, allow_leak, approval, approval_timeout, moved_alias)",
    "[[gate]]": "5: [gate]: needs a table, got a list",
    "[outcomes]\nlabel = 1": "6: [outcomes] label: needs a table, got 1",
    '[alerts.routes]\nfatal = ["console"]': "6: [alerts.routes] fatal: unknown key; known: (info, warning, critical)",
    # values of the wrong kind
    "[gate]\nconfidence = 2": "6: [gate] confidence: needs a number above 0.5 and below 1, got 2",
    "[gate]\nconfidence = nan": "6: [gate] confidence: needs a number above 0.5 and below 1, got nan",
    "[gate]\nrefit = 1": '6: [gate] refit: needs true, false or "ahead", got 1',
    '[gate]\nalways = "auc > 0.6"': '6: [gate] always: needs a list, got "auc > 0.6"',
    "[gate]\nalways = [\n  0.6]": "7: [gate] always[1]: needs text in quotes, got 0.6",
    '[gate]\ncluster = "week"': '6: [gate] cluster: needs "key" or "day", got "week"',
    "[pipeline]\nseed = -1": "6: [pipeline] seed: needs a whole number from 0 to 4294967295, got -1",
    '[pipeline]\nmodule = "pipeline.py"': '6: [pipeline] module: needs a module\'s name without ".py", such as '
    '"pipeline", got "pipeline.py"',
    '[pipeline]\nmodule = "my steps"': '6: [pipeline] module: needs a module\'s name without ".py", such as "pipeline", '
    'got "my steps"',
    '[pipeline]\nschedule = "daily"': "6: [pipeline] schedule: needs the five fields minute, hour, day, month and weekday, "
    'such as "0 3 * * *", got "daily"',
    '[pipeline]\nschedule = "0 25 * * *"': '6: [pipeline] schedule: bad hour in "0 25 * * *"; the fields are minute, hour, '
    "day, month, weekday",
    '[pipeline]\ntimezone = "Europe/Berln"': '6: [pipeline] timezone: no time zone "Europe/Berln"; did you mean '
    '"Europe/Berlin"?',
    "[pipeline.params]\nsince = 2013-01-01": "5: [pipeline] params: since: parameters are text, numbers, true or false, lists "
    "and tables; put the date in quotes",
    "[pipeline.params]\nx = [{y = inf}]": "5: [pipeline] params: x[0].y: parameters are finite numbers, got inf",
    '[monitor]\nwindow = "0d"': '6: [monitor] window: needs a duration above 0, got "0d"',
    "[monitor]\nwindow = 1": '6: [monitor] window: needs a duration in quotes, such as "36h" or "7d", got 1',
    '[monitor]\nfalse_alarms = "1"': '6: [monitor] false_alarms: needs a count and a duration, such as "1/100d", got "1"',
    "[monitor]\nfeatures = []": "6: [monitor] features: needs at least one item; leave the key out to mean all",
    '[columns]\ntemp = "encrypt"': '6: [columns] temp: needs "keep" or "hash" or "drop", got "encrypt"',
    '[retrain]\non = ["drift", "dirft"]': '6: [retrain] on[2]: needs "schedule" or "drift" or "performance" or "volume", '
    'got "dirft"',
    '[retrain]\non = ["drift", "drift"]': '6: [retrain] on[2] "drift": is listed twice',
    "[serving]\nworkers = 0": "6: [serving] workers: needs a whole number from 1 to 256, got 0",
    # not yet
    '[project]\npython = "py"': "6: [project] python: is not yet possible; steps run in the interpreter that runs flyball; "
    "leave it out",
    '[gate]\nslice_floor = ["auc >= 0.6"]': '6: [gate] slice_floor: has no effect without slices = ["COLUMN", ...]; '
    "name the columns",
    "[gate]\nslice_floor = 0.5": "6: [gate] slice_floor: needs a list, got 0.5",
    '[gate]\napproval = "never"': '6: [gate] approval: needs "auto" or "human", got "never"',
    "[gate]\nallow_leak = [3]": "6: [gate] allow_leak[1]: needs text in quotes, got 3",
    '[gate]\nallow_leak = ["a", "a"]': '6: [gate] allow_leak[2] "a": is listed twice',
    '[gate]\nalways = ["size_mb > champion.size_mb"]': '6: [gate] always[1] "size_mb > champion.size_mb": holds for a first '
    "version too, which has no champion; move it to change or refresh, or compare with a number",
    '[rollout]\nstrategy = "shadow, canary 10%, full"': '6: [rollout] strategy: "shadow, canary 10%, full" is not yet '
    'possible; use "shadow, full" or "direct"',
    '[rollout]\nstrategy = "ab 50%"': '6: [rollout] strategy: "ab 50%" is not yet possible; use "shadow, full" or "direct"',
    '[rollout]\nstrategy = "fast"': '6: [rollout] strategy: needs "shadow, full" or "direct", got "fast"',
    '[rollout]\nmetric = "auc"': "6: [rollout] metric: is not yet possible; a rollout watches [model] primary_metric; "
    "leave it out",
    "[rollout]\nguardrails = []": "6: [rollout] guardrails: is not yet possible; write floors under [gate] always; leave "
    "it out",
    "[outcomes.bought]": '5: [outcomes.bought] kind: is what [model] predicts, and called label; write kind = "binary" or '
    '"number" for bought',
    '[outcomes.label]\nkind = "number"': '6: [outcomes.label] kind: "number" is for other outcomes; the label is what [model] '
    'predicts: kind = "label"',
    '[outcomes.label]\nmissing = "0"': '6: [outcomes.label] missing: "0" is known once a window is over; write window = "30d", '
    'or missing = "unknown"',
    '[outcomes.label]\nwindow = "soon"': '6: [outcomes.label] window: needs a number and a unit (s, m, h, d, w), such as "90s", '
    '"36h" or "7d", got "soon"',
    '[monitor]\nslices = ["temp", "temp"]': '6: [monitor] slices[2] "temp": is listed twice',
    '[alerts.channels.ops]\nkind = "slack"': "5: [alerts.channels.ops] url_env: is missing; write the name of the "
    "environment variable with its address",
    '[serving]\ndurability = "memory"': '6: [serving] durability: needs "process" or "disk", got "memory"',
    '[serving]\nengine = "tensorrt"': '6: [serving] engine: needs "auto" or "onnx" or "native", got "tensorrt"',
    "[serving]\nparity_tolerance = 1": "6: [serving] parity_tolerance: needs a number above 0 and below 1, got 1",
    '[serving]\nloading = "late"': '6: [serving] loading: needs "eager" or "lazy", got "late"',
    '[serving]\nauth = "yes"': '6: [serving] auth: needs "none" or "token", got "yes"',
    "[journal]\nsample = 0": "6: [journal] sample: needs a number above 0, up to 1, got 0",
    "[journal]\nsample = 1.5": "6: [journal] sample: needs a number above 0, up to 1, got 1.5",
    "[journal]\nretention_days = 30": "6: [journal] retention_days: is not yet possible; the lake is kept for ever; leave "
    "it out",
    # rules
    '[gate]\nchange = [\n  "auc > champion.acu",\n]': '7: [gate] change[1] "auc > champion.acu": unknown metric "acu" for a '
    'binary task; did you mean "auc"? (auc, log_loss, brier, average_precision, accuracy, precision, recall, f1, ece, '
    "p99_ms, size_mb)",
    '[gate]\nalways = ["rmse < 3"]': '6: [gate] always[1] "rmse < 3": unknown metric "rmse" for a binary task; known: (auc, '
    "log_loss, brier, average_precision, accuracy, precision, recall, f1, ece, p99_ms, size_mb)",
    '[gate]\nalways = ["auc"]': '6: [gate] always[1] "auc": is not a rule; write METRIC (> >= < <=) NUMBER, or METRIC > '
    "champion.METRIC, or METRIC >= champion.METRIC - NUMBER",
    '[gate]\nchange = ["auc > champion.f1"]': '6: [gate] change[1] "auc > champion.f1": compares auc with the champion\'s f1; '
    "compare the same metric",
    '[gate]\nalways = ["auc > champion.auc"]': '6: [gate] always[1] "auc > champion.auc": holds for a first version too, '
    "which has no champion; move it to change or refresh, or compare with a number",
    '[gate]\nchange = ["p99_ms < champion.p99_ms"]': '6: [gate] change[1] "p99_ms < champion.p99_ms": p99_ms is measured over '
    "the serving path, not row by row; write p99_ms <= NUMBER",
    '[gate]\ncluster = "key"': '6: [gate] cluster: "key" needs [model] key; name the column there',
    '[gate]\ncluster = "day"': '6: [gate] cluster: "day" needs [model] timestamp; name the column there',
    "[gate]\nrefit = true": "6: [gate] refit: refit needs the event time: name the column under [model] timestamp, or write "
    "refit = false",
    # retraining and alerts
    '[retrain]\nperformance = "auc < champion.auc"': '6: [retrain] performance "auc < champion.auc": must be absolute, as no '
    'champion answers the same rows in production: METRIC < NUMBER, such as "auc < 0.70"',
    '[retrain]\nperformance = "p99_ms > 20"': '6: [retrain] performance "p99_ms > 20": unknown metric "p99_ms" for a binary '
    "task; known: (auc, log_loss, brier, average_precision, accuracy, precision, recall, f1, ece)",
    '[retrain]\non = ["performance"]': '6: [retrain] on[1] "performance": needs a promise: performance = "auc < 0.70"',
    '[retrain]\non = ["volume"]': '6: [retrain] on[1] "volume": needs a count or a share: new_rows = 10000, or "10%"',
    '[retrain]\non = ["schedule"]': '6: [retrain] on[1] "schedule": needs a time: [pipeline] schedule = "0 3 * * *"',
    '[retrain]\non = ["volume"]\nnew_rows = "many"': "7: [retrain] new_rows: needs a whole number from 1 to 1000000000, or a "
    'share such as "12.5%", got "many"',
    "[retrain]\nnew_rows = 5": '6: [retrain] new_rows: has no effect unless on names "volume"; add it there, or leave '
    "new_rows out",
    '[monitor]\nfalse_alarms = "2/1d"': "6: [monitor] false_alarms: allows 2 false alarms in each window; it must be less "
    "than one",
    '[alerts.channels.ops]\nkind = "webhook"': "5: [alerts.channels.ops] url_env: is missing; write the name of "
    "the environment variable with its address",
    '[alerts.channels.ops]\nurl_env = "OPS"': "5: [alerts.channels.ops] kind: is missing; write kind = "
    '"slack", "email" or another',
    '[alerts.channels.ops]\nkind = "console"\nurl_env = "OPS"': "7: [alerts.channels.ops] url_env: a console has no address; "
    "leave it out",
    '[alerts.routes]\ninfo = ["opps"]': '6: [alerts.routes] info[1] "opps": unknown channel; known: (console)',
    # steps
    '[pipeline]\nmodel = "trian"': '6: [pipeline] model "trian": no such step; did you mean "train"? (collect, train, '
    "validate)",
    '[pipeline]\nholdout = "test"': '6: [pipeline] holdout "test": no such step; known: (collect, train, validate)',
    '[pipeline]\nholdout = "train"': "6: [pipeline] holdout: is the model's step; the held-out table needs a step of its own",
    '[pipeline]\n\nmodule = "steps"': '7: [pipeline] module "steps": there is no steps.py in DIR; write it, or name another '
    "module",
}


@pytest.mark.parametrize("added", REFUSALS)
def test_what_cannot_be_honoured_is_refused_with_its_line_and_mend(tmp_path: Path, added: str) -> None:
    """One finding, placed at the key or item, saying what is allowed."""
    expected = f"flyball.toml:{REFUSALS[added]}".replace("DIR", str(tmp_path))
    assert found(write(tmp_path, MODEL + added + "\n")) == [expected]


#: the [model] section's body -> finding
MODEL_REFUSALS = {
    'name = "Flight"\ntask = "binary"\ntarget = "y"': "2: [model] name: needs 1 to 63 of a-z, 0-9 and -, not beginning with "
    '-, got "Flight"',
    'name = "f"\ntask = "clustering"\ntarget = "y"': '3: [model] task: needs "binary" or "multiclass" or "regression", got '
    '"clustering"',
    'name = "f"\ntask = "binary"': "1: [model] target: is missing; write target = the column to predict",
    'name = "f"\ntask = "binary"\ntarget = "y"\nfeatures = []': "5: [model] features: needs at least one item; leave the key "
    "out to mean all",
    'name = "f"\ntask = "binary"\ntarget = "y"\nfeatures = ["a",\n"a"]': '6: [model] features[2] "a": is listed twice',
    'name = "f"\ntask = "binary"\ntarget = "y"\nfeatures = ["y", "a"]': '5: [model] features[1] "y": is the target; a '
    "feature must be known at prediction time, so take it out of the list",
    'name = "f"\ntask = "binary"\ntarget = "y"\nkey = "y"': '5: [model] key "y": is the target\'s column; name another',
    'name = "f"\ntask = "regression"\ntarget = "y"\npositive = 1': "5: [model] positive: belongs to a binary task, not to "
    "regression; leave it out",
    'name = "f"\ntask = "binary"\ntarget = "y"\npositive = 0.5': "5: [model] positive: needs the value that counts as "
    'positive, such as "1" or "yes", got 0.5',
    'name = "f"\ntask = "regression"\ntarget = "y"\nprimary_metric = "auc"': '5: [model] primary_metric: unknown metric "auc" '
    "for a regression task; known: (rmse, mae, r2)",
    'name = "f"\ntask = "binary"\ntarget = "y"\nfeatures = ["temp"]\n[monitor]\nfeatures = ["tmep"]': "7: [monitor] features"
    '[1] "tmep": is not among [model] features; did you mean "temp"? (temp)',
    'name = "f"\ntask = "binary"\ntarget = "y"\nfeatures = ["temp"]\n[columns]\nwind = "drop"': "7: [columns] wind: is not "
    "among [model] features; known: (temp)",
    'name = "f"\ntask = "binary"\ntarget = "y"\nkey = "tailnum"\n[columns]\ntailnum = "hash"': "7: [columns] tailnum: is the "
    "key, which is kept as it is sent; only features can be hashed or dropped",
}


@pytest.mark.parametrize("body", MODEL_REFUSALS)
def test_a_model_that_contradicts_itself_is_refused(tmp_path: Path, body: str) -> None:
    """Names, columns and metrics must fit one another."""
    expected = f"flyball.toml:{MODEL_REFUSALS[body]}"
    assert found(write(tmp_path, f"[model]\n{body}\n")) == [expected]


@pytest.mark.parametrize(
    ("settings", "finding"),
    [
        ("[model\n", "flyball.toml:1: is not valid TOML: expected ']' at the end of a table declaration"),
        ("a = 1\n\nb = [\n\n", "flyball.toml:3: is not valid TOML: invalid value"),
        ('a = "x\n', "flyball.toml:1: is not valid TOML: illegal character '\\n'"),
        (f"a = {'9' * 5000}\n", None),
        (f"a = {'[' * 5000}\n", "flyball.toml: is nested too deeply"),
    ],
)
def test_what_is_not_toml_is_one_finding(tmp_path: Path, settings: str, finding: str | None) -> None:
    """With tomllib's line where it has one."""
    (only,) = found(write(tmp_path, settings))
    assert finding is None or only == finding


def test_text_in_another_encoding_is_one_finding(tmp_path: Path) -> None:
    """TOML is UTF-8."""
    (tmp_path / "flyball.toml").write_bytes(b'a = "\xff"\n')
    assert found(tmp_path) == ["flyball.toml: is not UTF-8 text (byte 5); save it as UTF-8"]


def test_a_folder_without_settings_names_the_command_that_writes_them(tmp_path: Path) -> None:
    """`flyball init` begins a project."""
    folder = tmp_path / "nothing"
    assert found(folder) == [f"flyball.toml: is not in {folder}; run `flyball init {folder}` to begin one there"]


def test_a_setting_outside_any_section_is_told_where_it_belongs(tmp_path: Path) -> None:
    """`name` may stand in two sections, `target` in one."""
    settings = 'target = "y"\nname = "x"\n' + MODEL
    assert found(write(tmp_path, settings)) == [
        "flyball.toml:1: [target]: stands outside any section; write it under [model]",
        "flyball.toml:2: [name]: stands outside any section; write it under [project] or [model]",
    ]


def test_a_secret_in_the_wrong_place_is_not_repeated(tmp_path: Path) -> None:
    """An address where the name of a variable belongs may be the secret itself."""
    settings = MODEL + '[alerts.channels.ops]\nkind = "webhook"\nurl_env = "https://hooks.example/s3cret"\n'
    (finding,) = check_project(write(tmp_path, settings))
    assert finding.line == 7
    assert "s3cret" not in str(finding)


def test_all_findings_come_at_once_sorted_by_file_and_line(tmp_path: Path) -> None:
    """Settings and steps are judged together."""
    settings = '[model]\nname = "f"\ntask = "binary"\n\n[gate]\nalways = ["acu > 1"]\nrefti = true\n'
    pipeline = "from flyball import step\n@step\ndef train(colect): ...\n@step\ndef collect(seed): ...\n"
    with pytest.raises(ProjectError) as caught:
        load_project(write(tmp_path, settings, pipeline))
    places = [(finding.file, finding.line) for finding in caught.value.findings]
    assert places == [("flyball.toml", 1), ("flyball.toml", 6), ("flyball.toml", 7), ("pipeline.py", 3)]
    assert str(caught.value) == "\n".join(found(tmp_path))


@pytest.mark.parametrize(
    ("pipeline", "finding"),
    [
        ("def train(:\n", "pipeline.py:1: not valid Python: invalid syntax"),
        ("", "pipeline.py: declares no steps; write `from flyball import step` and put @step on a function"),
        ("@step\ndef train(b): ...\n@step\ndef b(train): ...\n", None),
        (
            '@step(on_failure="use_last_good")\ndef train(): ...\n@step\ndef validate(): ...\n',
            'pipeline.py:2: step train: on_failure "use_last_good" cannot be honoured on the model\'s step: an earlier '
            'run\'s model is a version already; use "fail" with retries',
        ),
        (
            '@step\ndef train(): ...\n@step(on_failure="use_last_good")\ndef validate(): ...\n',
            'pipeline.py:4: step validate: on_failure "use_last_good" cannot be honoured for held-out rows (validate): '
            'a model could be judged on rows it was trained on; use "fail" with retries',
        ),
        (
            None,
            'flyball.toml: [pipeline] module "pipeline": there is no pipeline.py in DIR; write it, or name another module',
        ),
    ],
)
def test_a_pipeline_that_cannot_run_is_a_finding(tmp_path: Path, pipeline: str | None, finding: str | None) -> None:
    """Its own file and line; where the file is missing, the settings'."""
    (only,) = found(write(tmp_path, MODEL, pipeline))
    expected = finding or "pipeline.py:2: steps go round in a circle: train -> b -> train; break it"
    assert only == expected.replace("DIR", str(tmp_path))


@pytest.mark.parametrize("rules", ['change = ["auc > champion.auc"]', 'always = ["auc > 0.6"]'])
def test_a_rule_on_rows_needs_rows_held_out(tmp_path: Path, rules: str) -> None:
    """Without a hold-out step only the serving path can be measured."""
    pipeline = "from flyball import step\n@step\ndef train(run): ...\n"
    key, text = rules.split(" = ")
    assert found(write(tmp_path, f'{MODEL}[gate]\n{rules}\nrefresh = ["p99_ms < 5"]\n', pipeline)) == [
        f"flyball.toml:6: [gate] {key}[1] {text.strip('[]')}: no step holds out rows to measure this on; declare a step "
        "validate, or name one under [pipeline] holdout"
    ]


@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        (
            PIPELINE.replace(", seed, run", ""),
            "no step up to train takes `run`, so none can tell: take `run` and use flyball.split, or write refit = false",
        ),
        (
            PIPELINE.replace("validate", "report"),
            "refit adds the held-out rows, and no step holds any out: declare a step validate, or write refit = false",
        ),
    ],
)
def test_a_refit_that_cannot_be_is_refused(tmp_path: Path, pipeline: str, message: str) -> None:
    """Written out, it is an error; by default it would only be off."""
    settings = f'{MODEL}timestamp = "t"\n[gate]\nrefit = true\n'
    assert found(write(tmp_path, settings, pipeline)) == [f"flyball.toml:7: [gate] refit: {message}"]


def test_checking_imports_nothing_slow(tmp_path: Path) -> None:
    """The command line and the serving worker read projects; neither waits for numpy or pandas."""
    write(tmp_path, WHOLE)
    code = (
        "import sys; from flyball.project.load import load_project; load_project(sys.argv[1]); "
        "print(sorted({'numpy', 'pandas', 'sklearn', 'mlflow', 'scipy', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
