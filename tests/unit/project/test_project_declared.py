"""Steps read from a module's text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.project.declared import read_steps, source_of
from flyball.project.steps import StepDeclaration


def test_decorated_functions_are_steps_in_the_order_of_the_text() -> None:
    """`@step`, `@step(...)`, `@flyball.step(...)` and names they were imported as declare; other functions do not."""
    source = b"""
import flyball
import flyball as fb
from flyball import step, step as stage

@step
def collect(window): ...

def plain(x): ...

@step(retries=3, backoff_s=30, timeout_s=600, after=["collect"], on_failure="use_last_good")
def clean(collect, *, params): ...

@flyball.step(timeout_s=None, on_failure="fail")
def enrich(clean): ...

@stage
def train(enrich, seed, run): ...

@fb.step()
def validate(train, enrich): ...
"""
    steps, faults = read_steps(source)
    assert faults == ()
    assert steps == (
        StepDeclaration(name="collect", needs=(), given=("window",), line=7),
        StepDeclaration(
            name="clean",
            needs=("collect",),
            given=("params",),
            after=("collect",),
            retries=3,
            backoff_s=30.0,
            timeout_s=600.0,
            on_failure="use_last_good",
            line=12,
        ),
        StepDeclaration(name="enrich", needs=("clean",), given=(), line=15),
        StepDeclaration(name="train", needs=("enrich",), given=("seed", "run"), line=18),
        StepDeclaration(name="validate", needs=("train", "enrich"), given=(), line=21),
    )


def test_what_makes_a_step_is_its_text_and_what_the_module_shares() -> None:
    """Other steps, comments and the decorator's options are left out; helpers and constants stay."""
    written = b"""
from flyball import step
LIMIT = 3

@step
def collect(window):
    return helper(LIMIT)

def helper(x): return x

@step(retries=2)
def train(collect): ...
"""
    found = source_of(written, {"collect"})
    assert found == (
        "from flyball import step\nLIMIT = 3\n\ndef collect(window):\n    return helper(LIMIT)\n\n"
        "def helper(x):\n    return x"
    )
    told = written.replace(b"@step\n", b"@step(retries=5)  # patience\n").replace(b"(collect): ...", b"(collect): pass")
    assert source_of(told, {"collect"}) == found
    assert source_of(written.replace(b"LIMIT = 3", b"LIMIT = 4"), {"collect"}) != found
    assert source_of(b"def broken(:", {"collect"}) == "def broken(:"


def test_the_module_is_not_run() -> None:
    """Reading a module that would fail to import is no failure."""
    steps, faults = read_steps(b"import nothing_of_this_name\n1 / 0\n@step\ndef train(): ...\n")
    assert [step.name for step in steps] == ["train"]
    assert faults == ()


@pytest.mark.parametrize(
    ("decorator", "message"),
    [
        (
            '@step(on_failure="use_last")',
            'on_failure "use_last" is unknown; did you mean "use_last_good"? (fail, use_last_good)',
        ),
        ('@step(on_failure="ignore")', 'on_failure "ignore" is unknown; known: (fail, use_last_good)'),
        ("@step(on_failure=True)", "on_failure true is unknown; known: (fail, use_last_good)"),
        ("@step(retries=-1)", "retries needs a whole number from 0 to 100"),
        ("@step(retries=True)", "retries needs a whole number from 0 to 100"),
        ("@step(retries=N)", "retries must be written out as a plain value: it is read without running the module"),
        ('@step(backoff_s="1")', "backoff_s needs seconds, from 0 to 604800 (a week)"),
        ("@step(timeout_s=0)", "timeout_s needs seconds above 0, or None for no limit"),
        ('@step(after="collect")', 'after needs a list of step names in quotes, such as ["collect"]'),
        (
            "@step(after=[collect])",
            "after must be written out as a plain value: it is read without running the module",
        ),
        (
            "@step(retry=3)",
            '@step has no argument retry; did you mean "retries"? (retries, backoff_s, timeout_s, after, on_failure)',
        ),
        ("@step(3)", "@step takes its arguments by name, such as @step(retries=3)"),
        ("@step(**options)", "@step(**...) cannot be read without running it; write the arguments out"),
    ],
)
def test_an_option_that_cannot_be_honoured_is_refused(decorator: str, message: str) -> None:
    """Arguments are plain values of the stated kind; the finding stands at the function's line."""
    _, faults = read_steps(f"{decorator}\ndef train(): ...\n".encode())
    assert faults == ((2, f"step train: {message}"),)


@pytest.mark.parametrize(
    ("source", "line", "message"),
    [
        ("@step\nasync def train(): ...\n", 2, "step train: is async; a step is a plain function"),
        (
            "@step\ndef train(*rest): ...\n",
            2,
            "step train: takes *args, **kwargs or positional-only parameters; name each parameter",
        ),
        (
            "if True:\n    @step\n    def train(): ...\n",
            3,
            "step train: is declared inside another block; move it to the module's top level",
        ),
        ("def train(): ...\n", None, "declares no steps; write `from flyball import step` and put @step on a function"),
        ("x = 1\ndef train(:\n", 2, "not valid Python: invalid syntax"),
        ("x = (\n", 1, "not valid Python: '(' was never closed"),
    ],
)
def test_a_module_that_declares_badly_is_a_finding_at_its_line(source: str, line: int | None, message: str) -> None:
    """Syntax errors carry Python's own line."""
    steps_or_none = read_steps(source.encode())[1]
    assert steps_or_none == ((line, message),)


@pytest.mark.parametrize(
    "source", [b"\x00", b"\xff\xfe", b"(" * 5000, b"# coding: nothing\n", b"x = '\\d'\n@step\ndef f(): ...\n"]
)
def test_odd_bytes_are_findings_or_nothing(source: bytes) -> None:
    """Null bytes, bad encodings, depth and odd escapes end in findings at most, never in an error or a warning."""
    steps, faults = read_steps(source)
    assert bool(steps) != bool(faults)


@given(st.binary(max_size=60))
def test_any_bytes_are_steps_or_findings(source: bytes) -> None:
    """No module's text is an error."""
    steps, faults = read_steps(source)
    assert steps or faults
