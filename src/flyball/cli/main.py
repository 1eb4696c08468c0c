"""The `flyball` command: one table of verbs by journey, each verb's module imported when it is called."""

from __future__ import annotations

import errno
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from flyball import __version__
from flyball.errors import FlyballError, NotYet

JOURNEYS = ("Start", "Pipeline", "Versions", "Serve", "Watch", "Act", "Operate")

#: verb -> (journey, where its click command lies, one line of help)
VERBS: dict[str, tuple[str, str, str]] = {
    "init": ("Start", "flyball.cli.start:init", "Write a new project that runs as it stands."),
    "adopt": ("Start", "flyball.cli.adopt:adopt", "Serve a model that exists already."),
    "demo": ("Start", "flyball.cli.start:demo", "Live a year of flights, end to end."),
    "check": ("Start", "flyball.cli.start:check", "Validate flyball.toml and pipeline.py without running."),
    "doctor": ("Start", "flyball.cli.doctor:doctor", "What is installed, reachable, writable; each finding's mend."),
    "run": ("Pipeline", "flyball.cli.pipeline:run", "Run the pipeline: train, judge, release or refuse."),
    "resume": ("Pipeline", "flyball.cli.pipeline:resume", "Finish a run that was cut off."),
    "runs": ("Pipeline", "flyball.cli.runs:runs", "List runs, newest first."),
    "logs": ("Pipeline", "flyball.cli.runs:logs", "Print what a run's steps wrote."),
    "step": ("Pipeline", "flyball.cli.runs:step", "Run one step in this process."),
    "models": ("Versions", "flyball.cli.versions:models", "List models and what is live."),
    "versions": ("Versions", "flyball.cli.versions:versions", "List a model's versions."),
    "show": ("Versions", "flyball.cli.versions:show", "Show one version."),
    "diff": ("Versions", "flyball.cli.diff:diff", "What differs between two versions."),
    "at": ("Versions", "flyball.cli.versions:at", "Which version was live at a time."),
    "why": ("Versions", "flyball.cli.why:why", "Why a version is what it is: verdict, decisions, moves."),
    "lineage": ("Versions", "flyball.cli.lineage:lineage", "Where a version comes from, as a tree."),
    "reproduce": (
        "Versions",
        "flyball.cli.reproduce:reproduce",
        "Train a version again from what was kept, and compare.",
    ),
    "explain": ("Versions", "flyball.cli.explain:explain", "One prediction back to version, data, gate, who."),
    "gate": ("Versions", "flyball.cli.why:gate", "The gate's verdict on a version; exit 3 if refused."),
    "audit": ("Versions", "flyball.cli.audit:audit", "Who changed what, when, from what to what, why."),
    "up": ("Serve", "flyball.cli.serve:up", "Everything on one machine: workers, dashboard, loop."),
    "serve": ("Serve", "flyball.cli.serve:serve", "The data plane only."),
    "predict": ("Serve", "flyball.cli.predict:predict", "Score a file with a version."),
    "monitor": ("Watch", "flyball.cli.watch:monitor", "Judged windows: drift and performance."),
    "decisions": ("Watch", "flyball.cli.watch:decisions", "What was decided, and why; the decisions to wait too."),
    "alerts": ("Watch", "flyball.cli.watch:alerts", "Open alerts."),
    "backtest": ("Watch", "flyball.cli.backtest:backtest", "What another rule would have alarmed and retrained."),
    "outcomes": ("Watch", "flyball.cli.outcomes:outcomes", "Post what came true, in bulk."),
    "promote": ("Act", "flyball.cli.act:promote", "Put a version live."),
    "rollback": ("Act", "flyball.cli.act:rollback", "Put the version back that was live before."),
    "approve": ("Act", "flyball.cli.act:approve", "Let a version go on that another person wanted."),
    "freeze": ("Act", "flyball.cli.act:freeze", "Stop every automatic act on a model, or on all."),
    "archive": ("Act", "flyball.cli.act:archive", "Put a version away."),
    "alias": ("Act", "flyball.cli.alias:alias", "Give a version a name of your own, or take it away."),
    "rollout": ("Act", "flyball.cli.act:rollout", "How far a candidate's rollout is."),
    "retrain": ("Act", "flyball.cli.pipeline:retrain", "Train a model anew, now."),
    "alert": ("Act", "flyball.cli.alerting:alert", "Try a channel, acknowledge an alert, send again what was refused."),
    "silence": ("Act", "flyball.cli.alerting:silence", "Tell nobody of a model's alerts for a while."),
    "token": (
        "Operate",
        "flyball.cli.operate:token",
        "Make, list and revoke tokens of the dashboard and the data plane.",
    ),
    "backup": ("Operate", "flyball.cli.operate:backup", "Write the home to a file, while it is in use."),
    "restore": ("Operate", "flyball.cli.operate:restore", "Make a home of such a file."),
    "export": ("Operate", "flyball.cli.export:export", "Files for Prometheus, Grafana and other tools."),
    "ui": ("Operate", "flyball.cli.operate:ui", "Print the dashboard's address with its token."),
}

#: verb -> what this release offers in its place
LATER: dict[str, str] = {
    "stream": "post rows to `/models/MODEL/predict`",
    "experiment": "`flyball rollout MODEL` shows the shadow",
    "replay": "`flyball predict MODEL@REF IN OUT` scores a file",
    "gc": "old runs lie in the home's `runs/`",
}


class Verbs(click.Group):
    """The table as a click group: `--help` reads the table only, a verb is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name in LATER:
            return _later(cmd_name)
        if cmd_name not in VERBS:
            return None
        module, _, name = VERBS[cmd_name][1].partition(":")
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and name not in VERBS and name not in LATER:
            from difflib import get_close_matches  # as `traceback` below: for when something is wrong

            near = get_close_matches(name, VERBS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "`flyball --help` lists the verbs"
            ctx.fail(f"no verb {name!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        for journey in JOURNEYS:
            with formatter.section(journey):
                formatter.write_dl([(verb, line) for verb, (where, _, line) in VERBS.items() if where == journey])
        with formatter.section("Not in this release"):
            formatter.write_text(", ".join(LATER))

    def invoke(self, ctx: click.Context) -> Any:
        """What goes wrong becomes one message and an exit code; only a bug shows a traceback."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except KeyboardInterrupt:
            ctx.exit(130)
        except FlyballError as error:
            click.echo(str(error), err=True)
            ctx.exit(error.exit_code)
        except OSError as error:
            if error.errno == errno.EPIPE:  # the reader of our output has left; click ends quietly
                raise
            click.echo(f"the system said no: {error}", err=True)
            ctx.exit(1)
        except Exception as error:  # noqa: BLE001  # the outermost edge
            import traceback

            click.echo(traceback.format_exc(), err=True)
            click.echo(f"flyball has a bug: {type(error).__name__}: {error}", err=True)
            click.echo("It is not your mistake; please report it with the lines above.", err=True)
            ctx.exit(1)


def _later(verb: str) -> click.Command:
    """Takes whatever follows, and says what there is instead."""

    def refuse(words: tuple[str, ...]) -> None:
        del words
        raise NotYet(f"flyball {verb} is not in this release; meanwhile: {LATER[verb]}")

    words = click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)
    return click.Command(verb, callback=refuse, params=[words], context_settings={"ignore_unknown_options": True})


@click.group(cls=Verbs, subcommand_metavar="VERB ...", context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--project", type=click.Path(path_type=Path), metavar="DIR", help="As after the verb.")
@click.option("--home", type=click.Path(path_type=Path), metavar="DIR", help="As after the verb.")
@click.version_option(__version__, prog_name="flyball", message="%(prog)s %(version)s")
def main(project: Path | None, home: Path | None) -> None:  # read by `options.at_place`
    """A governor for machine-learning models: trains them, decides which version may answer, serves it, watches what
    it answers, and acts when the world moves.

    `flyball VERB --help` says more about one verb. Exit codes: 0 done, 1 failed, 2 your mistake, 3 gate refused.
    """
