"""The verb table: help, typos, exit codes, what is not in this release."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from flyball import errors
from flyball.cli import main as cli
from flyball.cli.main import JOURNEYS, LATER, VERBS, main


def invoke(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, list(words))
    return result.exit_code, result.stdout, result.stderr


def test_help_groups_every_verb_under_its_journey() -> None:
    """`flyball --help` shows all seven journeys and each verb of the table once."""
    code, out, _ = invoke("--help")
    assert code == 0
    shown = [line.split()[0] for line in out.splitlines() if line.startswith("  ") and line.split()]
    assert [line[:-1] for line in out.splitlines() if line[:-1] in JOURNEYS] == list(JOURNEYS)
    assert [verb for verb in shown if verb in VERBS] == list(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself(verb: str) -> None:
    """Each line of the table leads to a command with a help of its own."""
    code, out, _ = invoke(verb, "--help")
    assert code == 0
    assert out.startswith(f"Usage: main {verb}")


def test_a_mistyped_verb_names_the_nearest() -> None:
    """A typo exits 2 and says which verb was probably meant."""
    code, _, err = invoke("explian")
    assert code == 2
    assert "no verb 'explian'; did you mean 'explain'?" in err


@pytest.mark.parametrize("verb", LATER)
def test_a_verb_of_a_later_release_is_refused_whatever_follows_it(verb: str) -> None:
    """Verbs the contract names and this release lacks exit 2 and say what there is meanwhile."""
    code, out, err = invoke(verb, "kubernetes", "--until", "2013-08-01")
    assert (code, out) == (2, "")
    assert err == f"flyball {verb} is not in this release; meanwhile: {LATER[verb]}\n"


def test_no_verb_is_offered_and_refused_at_once() -> None:
    """The two tables do not overlap, and every verb belongs to a journey that is shown."""
    assert not set(VERBS) & set(LATER)
    assert {journey for journey, _, _ in VERBS.values()} == set(JOURNEYS)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.FlyballError("said"), 1),
        (errors.Unavailable("said"), 1),
        (errors.Mistake("said"), 2),
        (errors.NotFound("said"), 2),
        (errors.Refused("said"), 3),
        (PermissionError(13, "no", "/there"), 1),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("said"), 1),
    ],
)
def test_what_goes_wrong_becomes_its_exit_code(error: BaseException, code: int) -> None:
    """0 done, 1 failed, 2 the caller's mistake, 3 refused, 130 interrupted; stdout stays clean."""
    result = CliRunner().invoke(_failing(error), ["fail"])
    assert (result.exit_code, result.stdout) == (code, "")


def test_only_a_bug_shows_a_traceback() -> None:
    """An error raised on purpose is one message; an unexpected one says that it is a bug, after its traceback."""
    meant = CliRunner().invoke(_failing(errors.Mistake("mend it so")), ["fail"])
    assert meant.stderr == "mend it so\n"
    bug = CliRunner().invoke(_failing(ZeroDivisionError("by nought")), ["fail"])
    assert "Traceback" in bug.stderr
    assert "flyball has a bug: ZeroDivisionError: by nought" in bug.stderr


def test_an_interrupt_is_quiet() -> None:
    """Ctrl-C ends without a word."""
    assert CliRunner().invoke(_failing(KeyboardInterrupt()), ["fail"]).output == ""


def test_the_version_is_the_packages() -> None:
    """`flyball --version` prints name and version."""
    assert invoke("--version")[:2] == (0, f"flyball {cli.__version__}\n")


class _OneVerb(cli.Verbs):
    """The group with one command of the test's own."""

    def __init__(self, command: click.Command) -> None:
        super().__init__("flyball")
        self.command = command

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self.command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        return args[0], self.command, args[1:]


def _failing(error: BaseException) -> click.Command:
    @click.command("fail")
    def fail() -> None:
        raise error

    return _OneVerb(fail)
