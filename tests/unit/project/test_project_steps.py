"""The order of steps, and what keeps them from running."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flyball.project.steps import StepDeclaration, fallback_problems, order, problems, upstream


def declare(text: str) -> tuple[StepDeclaration, ...]:
    """`a: b c run > d` per line: step a takes b, c and the given run, and follows d."""
    steps = []
    for line, row in enumerate(text.strip().splitlines(), start=1):
        name, _, rest = row.strip().partition(":")
        taken, _, after = rest.partition(">")
        given = ("window", "params", "seed", "run")
        steps.append(
            StepDeclaration(
                name=name,
                needs=tuple(item for item in taken.split() if item not in given),
                given=tuple(item for item in taken.split() if item in given),
                after=tuple(after.split()),
                line=line,
            )
        )
    return tuple(steps)


@pytest.mark.parametrize(
    ("declared", "ordered"),
    [
        ("a:\n b: a\n train: b\n validate: train", "a b train validate"),
        ("validate: train a\n train: b\n b: a\n a:", "a b train validate"),
        ("c:\n b:\n train: b c\n validate: train", "c b train validate"),
        ("report:\n a:\n train: a\n validate: a", "a train validate report"),
        ("a:\n tidy: > train\n train: a\n validate: a", "a train validate tidy"),
        ("b: > z\n z:\n train: b\n validate:", "validate z b train"),
    ],
)
def test_steps_run_after_what_they_need_and_else_as_declared(declared: str, ordered: str) -> None:
    """Among equals the declaration decides; a step that neither model nor hold-out needs comes after those they do."""
    found = order(declare(declared), model="train", holdout="validate")
    assert [step.name for step in found] == ordered.split()


def test_upstream_follows_results_only() -> None:
    """`after` gives an order, not a result; unknown names lead nowhere."""
    steps = declare("a:\n b: a\n c:\n train: b x > c")
    assert upstream(steps, "train") == {"train", "b", "a"}
    assert upstream(steps, "x") == frozenset()


@pytest.mark.parametrize(
    ("declared", "found"),
    [
        ("a: window\n train: a params seed run", []),
        (
            "collect:\n train: colect",
            [
                (
                    2,
                    'step train: parameter "colect" is neither a step nor given; '
                    'did you mean "collect"? (collect, window, params, seed, run)',
                )
            ],
        ),
        (
            "train: zzz",
            [(1, 'step train: parameter "zzz" is neither a step nor given; known: (window, params, seed, run)')],
        ),
        (
            "collect:\n train: collect > colect",
            [(2, 'step train: after names an unknown step "colect"; did you mean "collect"? (collect)')],
        ),
        ("seed:", [(1, "step seed: this name is what the run gives (window, params, seed, run); rename the step")]),
        ("deploy:", [(1, "step deploy: this name is a step of Flyball's own (deploy, monitor); rename the step")]),
        ("monitor:", [(1, "step monitor: this name is a step of Flyball's own (deploy, monitor); rename the step")]),
        ("a:\n b:\n a:", [(3, "step a: there is one of this name on line 1 already; rename one")]),
        ("train: train", [(1, "steps go round in a circle: train -> train; break it")]),
    ],
)
def test_what_keeps_steps_from_running_is_told_with_its_line(declared: str, found: list[tuple[int, str]]) -> None:
    """Names first; a circle is looked for only when all names are right."""
    assert list(problems(declare(declared))) == found


@pytest.mark.parametrize(
    ("name", "obstacle"),
    [
        ("collect", None),
        ("preprocess", None),
        ("aside", None),
        ("train", "cannot be honoured on the model's step: an earlier run's model is a version already"),
        (
            "validate",
            "cannot be honoured for held-out rows (validate): a model could be judged on rows it was trained on",
        ),
        (
            "newest",
            "cannot be honoured for held-out rows (validate): a model could be judged on rows it was trained on",
        ),
        ("report", "cannot be honoured after train: an earlier run's result is about an earlier model"),
    ],
)
def test_a_last_good_result_stands_in_only_for_what_a_model_is_made_of(name: str, obstacle: str | None) -> None:
    """Not for the model, not for rows that are to be new to it, not for what is said of it."""
    declared = "collect:\n preprocess: collect\n aside:\n newest: collect\n train: preprocess\n validate: newest\n report: train"
    steps = [replace(step, on_failure="use_last_good" if step.name == name else "fail") for step in declare(declared)]
    line = [step.name for step in steps].index(name) + 1
    found = fallback_problems(steps, model="train", holdout="validate")
    whole = f'step {name}: on_failure "use_last_good" {obstacle}; use "fail" with retries'
    assert found == (((line, whole),) if obstacle else ())


def test_a_circle_is_written_the_way_results_flow() -> None:
    """b takes a, c takes b, a takes c: whichever step it begins at, each arrow is one taking."""
    ((line, message),) = problems(declare("a: c\n b: a\n c: b"))
    turns = {"a -> b -> c -> a": 1, "b -> c -> a -> b": 2, "c -> a -> b -> c": 3}
    circle = message.removeprefix("steps go round in a circle: ").removesuffix("; break it")
    assert turns[circle] == line
