"""Verbs about alerts: silence; alert test, ack, retry."""

from __future__ import annotations

from datetime import datetime, timedelta

import click

from flyball.cli.options import as_time, at_place, json_option, why_option
from flyball.cli.place import Place, open_home, the_project
from flyball.cli.show import put
from flyball.dashboard.reads import require_model
from flyball.errors import Mistake, NotFound
from flyball.project.durations import parse_duration
from flyball.registry import audit
from flyball.registry.codec import plain
from flyball.store import utcnow


@click.command()
@click.argument("model", metavar="[MODEL|all]", required=False)
@click.option("--name", default="", metavar="N", help="This alert only, as `flyball alerts` names it.")
@click.option("--until", callback=as_time, metavar="T", help="Until this time.")
@click.option("--for", "length", metavar="D", help="For this long, such as 2h or 1d.")
@click.option("--lift", is_flag=True, help="End the silence of MODEL (and --name) instead.")
@why_option
@at_place
@json_option
def silence(
    place: Place,
    model: str | None,
    name: str,
    until: datetime | None,
    length: str | None,
    lift: bool,
    why: str,
    as_json: bool,
) -> None:
    """Tell nobody of MODEL's alerts for a while; without MODEL, list what is silent. What goes on after is told then."""
    from flyball.loop import silences

    database, now, who = open_home(place), utcnow(), audit.local_user()
    ended: list[silences.Silence] = []
    if model is not None:
        about = silences.EVERY if model == "all" else model
        if about:
            require_model(database, about)
        with database.write() as tx:
            if lift and (until or length):
                raise Mistake("--lift ends a silence now; leave out --for and --until")
            if lift:
                ended = silences.lift(tx, model=about, name=name, who=who, why=why, now=now)
            else:
                ends = _until(until, length, now)
                silences.silence(tx, model=about, name=name, until=ends, who=who, why=why, now=now)
    elif lift or until or length or name:
        raise Mistake("name the model, or all: flyball silence MODEL --for 2h --why TEXT")
    if lift and not ended:
        raise NotFound(f"no silence of {model}, {name or 'every alert'}, is in force; `flyball silence` lists what is")
    left = silences.silences(database, now)
    lines = [f"lifted: {item}" for item in ended] + [f"silent: {item}" for item in left]
    put(
        {"lifted": [plain(item) for item in ended], "silences": [plain(item) for item in left]},
        "\n".join(lines) or "nothing is silent",
        as_json=as_json,
    )


def _until(until: datetime | None, length: str | None, now: datetime) -> datetime:
    if (until is None) == (length is None):
        raise Mistake("say how long: --for 2h, or --until 2026-12-01T08:00Z (one of them)")
    if length is not None:
        try:
            until = now + timedelta(seconds=parse_duration(length))
        except ValueError as error:
            raise Mistake(f"--for {length}: {error}") from None
    assert until is not None
    if until <= now:
        raise Mistake(f"the silence would end at {until:%Y-%m-%d %H:%M}Z, which is past")
    return until


@click.group()
def alert() -> None:
    """Alerts and their channels."""


@alert.command("test")
@click.argument("channel")
@at_place
def alert_test(place: Place, channel: str) -> None:
    """Send a test message on CHANNEL of this project's flyball.toml, now."""
    from flyball.loop.delivering import test_channel  # urllib, smtplib: `--help` does without

    test_channel(the_project(place), channel, now=utcnow())
    click.echo(f"a test message went out on {channel}")


@alert.command("ack")
@click.argument("number", type=click.IntRange(1), metavar="ID")
@at_place
@json_option
def alert_ack(place: Place, number: int, as_json: bool) -> None:
    """Say that you see to alert ID: it is not repeated, and PagerDuty is told."""
    from flyball.loop.alerts import acknowledge

    database = open_home(place)
    with database.write() as tx:
        found = acknowledge(tx, number, who=audit.local_user(), at=utcnow())
    put(plain(found), f"alert {number} ({found.model}, {found.name}) is {found.acked_by}'s", as_json=as_json)


@alert.command("retry")
@click.argument("channel", required=False)
@at_place
@json_option
def alert_retry(place: Place, channel: str | None, as_json: bool) -> None:
    """Have messages that CHANNEL (else any) did not take sent again at the loop's next beat."""
    from flyball.loop.deliveries import channels, retry

    database = open_home(place)
    with database.write() as tx:
        known = channels(tx)
        if channel is not None and channel not in known:
            there = ", ".join(known) or "none yet"
            raise NotFound(f"no message was ever for an alert channel {channel!r} (there were for: {there})")
        count = retry(tx, now=utcnow(), channel=channel)
    put({"messages": count}, f"sent again at the next beat: {count}", as_json=as_json)
