"""Who is asked for a token, and which token will do."""

from __future__ import annotations

from pathlib import Path

import pytest

from flyball.registry.tokens import Grant, digest_of
from flyball.serving.access import Door, by_digest, keep_grants, kept_grants
from flyball.serving.options import Options, parse_worker, worker_argv
from flyball.serving.problem import Problem
from flyball.store import Home

GRANTS = (
    Grant(digest=digest_of(b"all"), scopes=("outcomes", "predict"), model=None),
    Grant(digest=digest_of(b"asks"), scopes=("predict",), model=None),
    Grant(digest=digest_of(b"churns"), scopes=("outcomes", "predict"), model="churn"),
)


@pytest.mark.parametrize(
    ("public", "auth", "predict", "outcomes"),
    [
        (False, None, False, False),
        (False, "none", False, False),
        (False, "token", True, True),
        (True, None, True, True),
        (True, "none", False, True),
        (True, "token", True, True),
    ],
)
def test_who_is_asked(public: bool, auth: str | None, predict: bool, outcomes: bool) -> None:
    """Nobody on loopback unless declared; elsewhere outcomes always, since they can move what is live."""
    door = Door(public=public, auth={"churn": auth} if auth else {})
    assert (door.asks("predict", "churn"), door.asks("outcomes", "churn")) == (predict, outcomes)


@pytest.mark.parametrize(
    ("header", "scope", "model", "status"),
    [
        (b"Bearer all", "predict", "delay", None),
        (b"bearer   all ", "outcomes", "delay", None),
        (b"Bearer asks", "predict", "delay", None),
        (b"Bearer asks", "outcomes", "delay", 403),
        (b"Bearer churns", "outcomes", "churn", None),
        (b"Bearer churns", "predict", "delay", 403),
        (b"Bearer nobodys", "predict", "delay", 401),
        (b"Bearer", "predict", "delay", 401),
        (b"Basic all", "predict", "delay", 401),
        (b"all", "predict", "delay", 401),
        (None, "predict", "delay", 401),
    ],
)
def test_which_token_will_do(header: bytes | None, scope: str, model: str, status: int | None) -> None:
    """401 for nobody's token, 403 for somebody's that opens something else; both say in which terms to ask."""
    door = Door(public=True, grants=by_digest(GRANTS))
    problem = door.refusal({b"authorization": header} if header is not None else {}, scope, model)  # type: ignore[arg-type]
    assert (problem.status if problem else None) == status
    if problem is not None:
        assert dict(problem.headers)[b"www-authenticate"].startswith(b"Bearer ")
        assert b"nobodys" not in problem.body("x")


def test_check_raises_only_where_it_asks() -> None:
    """Loopback lets everybody in."""
    Door().check({}, "outcomes", "delay")
    with pytest.raises(Problem, match="outcomes of delay needs a token"):
        Door(public=True).check({}, "outcomes", "delay")


def test_tokens_are_kept_for_a_start_without_the_database(tmp_path: Path) -> None:
    """As digests; a file that cannot be read lets nobody in."""
    home = Home(tmp_path).made()
    assert kept_grants(home) == ()
    keep_grants(home, GRANTS)
    assert kept_grants(home) == GRANTS
    (home.serving / "tokens.json").write_text("{")
    assert kept_grants(home) == ()


def test_workers_are_told_what_each_model_asks(tmp_path: Path) -> None:
    """A model's name may hold anything but stays a name."""
    options = Options(public=True, auth=(("churn", "token"), ("a=b", "none")))
    assert parse_worker(worker_argv(tmp_path, 3, 0, options)).options == options
