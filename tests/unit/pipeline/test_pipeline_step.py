"""The decorator and the records a step may ask for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest

import flyball
from flyball.errors import Mistake
from flyball.pipeline.step import ModelNames, RunContext, Window, declared_steps, step
from flyball.project.declared import read_steps
from flyball.project.steps import StepDeclaration

SOURCE = """
from flyball import step

def not_a_step(anything):
    return anything

@step
def collect(window):
    return [1]

@step(
    retries=3,
    backoff_s=30,
    timeout_s=600,
    after=["collect"],
    on_failure="use_last_good",
)
def tidy(run):
    return None

@step
def train(collect, params, seed):
    return collect

the_same = train
"""


def imported(source: str, tmp_path: Path) -> ModuleType:
    """The module of `source`, with a file that line numbers can be found in."""
    file = tmp_path / "pipeline.py"
    file.write_text(source)
    module = ModuleType("pipeline")
    exec(compile(source, str(file), "exec"), vars(module))
    return module


def test_a_step_stays_an_ordinary_function() -> None:
    """Decorating changes nothing about calling."""

    @step(retries=2)
    def double(number: int) -> int:
        return number * 2

    assert double(21) == 42
    assert double.__name__ == "double"


def test_step_and_split_are_offered_by_the_package() -> None:
    """A user writes `from flyball import step, split`."""
    assert flyball.step is step
    assert flyball.split.__module__ == "flyball.pipeline.split"
    assert {"split", "step"} <= set(dir(flyball))


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    """Lazy exports fail as ordinary ones do."""
    with pytest.raises(AttributeError, match="module 'flyball' has no attribute 'stepp'"):
        flyball.stepp  # noqa: B018


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"retries": -1}, Mistake, "@step(retries=-1): needs a whole number, 0 or more"),
        ({"retries": 1.5}, Mistake, "@step(retries=1.5): needs a whole number, 0 or more"),
        ({"retries": True}, Mistake, "@step(retries=True): needs a whole number, 0 or more"),
        ({"backoff_s": -0.1}, Mistake, "@step(backoff_s=-0.1): needs seconds, 0 or more"),
        ({"timeout_s": 0}, Mistake, "@step(timeout_s=0): needs seconds, more than 0, or None for no limit"),
        (
            {"after": "collect"},
            Mistake,
            "@step(after='collect'): got a text, needs a list of step names; write after=['collect']",
        ),
        (
            {"on_failure": "use_last_god"},
            Mistake,
            "@step(on_failure='use_last_god'): is unknown; did you mean \"use_last_good\"? (fail, use_last_good)",
        ),
        ({"on_failure": None}, Mistake, "@step(on_failure=None): is unknown; known: (fail, use_last_good)"),
    ],
)
def test_an_option_out_of_range_is_refused_with_what_is_allowed(options: dict, kind: type, message: str) -> None:
    """Refuse, never ignore."""
    with pytest.raises(kind) as caught:
        step(**options)
    assert str(caught.value) == message


def test_declarations_of_the_imported_module_are_worked_out(tmp_path: Path) -> None:
    """Needs, given names, options and the line of the `def`."""
    assert declared_steps(imported(SOURCE, tmp_path)) == (
        StepDeclaration(name="collect", needs=(), given=("window",), line=8),
        StepDeclaration(
            name="tidy",
            needs=(),
            given=("run",),
            after=("collect",),
            retries=3,
            backoff_s=30,
            timeout_s=600,
            on_failure="use_last_good",
            line=18,
        ),
        StepDeclaration(name="train", needs=("collect",), given=("params", "seed"), line=22),
    )


def test_the_static_reader_and_the_import_agree(tmp_path: Path) -> None:
    """`flyball check` reads without importing; what it sees is what runs."""
    module = imported(SOURCE, tmp_path)
    assert read_steps(SOURCE.encode()) == (declared_steps(module), ())


def test_a_context_survives_the_journey_to_a_steps_process() -> None:
    """to_json and from_json are inverse, through real JSON text."""
    context = RunContext(
        id="r1",
        path=Path("/runs/r1"),
        folder=Path("/runs/r1/train/2"),
        model=ModelNames(target="late", features=("a", "b"), key="tail", timestamp="at", positive="1", task="binary"),
        refit=True,
        now=datetime(2013, 3, 1, 12, tzinfo=UTC),
        window=Window(start=None, end=datetime(2013, 3, 1, tzinfo=UTC)),
        params={"depth": 3, "grid": [1.5, None]},
        seed=7,
    )
    assert RunContext.from_json(json.loads(json.dumps(context.to_json()))) == context
