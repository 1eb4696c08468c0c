"""Options and argument types that several verbs share."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import orjson

from flyball.cli.place import find_place
from flyball.store.clock import moment, utcnow

Command = Callable[..., Any]

FOLDER = click.Path(path_type=Path)

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")

limit_option = click.option(
    "--limit", type=click.IntRange(1), default=20, show_default=True, help="At most this many, the newest."
)


def _as_reason(_: click.Context, __: click.Parameter, text: str) -> str:
    """Kept for good: blanks are no reason."""
    if not text.strip():
        raise click.BadParameter("it is empty; say why in a few words, or leave it out")
    return text.strip()


why_option = click.option(
    "--why",
    default="by hand, no reason given",
    metavar="TEXT",
    callback=_as_reason,
    help="The reason, kept with what was done.",
)


def reason_given() -> bool:
    """Whether the caller said why."""
    return click.get_current_context().get_parameter_source("why") is not click.core.ParameterSource.DEFAULT


def at_place(command: Command) -> Command:
    """Adds `--project` and `--home`; the command's first argument is the place they name."""

    @click.option("--project", type=FOLDER, metavar="DIR", help="Folder of flyball.toml; else the nearest one upward.")
    @click.option(
        "--home",
        type=FOLDER,
        metavar="DIR",
        help="Where Flyball keeps things; else FLYBALL_HOME, else the nearest .flyball upward.",
    )
    @functools.wraps(command)
    def placed(*args: Any, project: Path | None, home: Path | None, **options: Any) -> Any:
        told = click.get_current_context().find_root().params  # `flyball --home DIR VERB` says the same
        place = find_place(project or told.get("project"), home or told.get("home"))
        return command(place, *args, **options)

    return placed


def as_time(_: click.Context, __: click.Parameter, text: str | None) -> datetime | None:
    """A time as RFC 3339, or a date, which is its midnight UTC."""
    try:
        return moment(text) if text else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def as_past(_: click.Context, __: click.Parameter, text: str) -> datetime:
    """A time that has been; `now` is one."""
    now = utcnow()
    if text == "now":
        return now
    found = as_time(_, __, text)
    assert found is not None
    if found > now:
        raise click.BadParameter(f"{text!r} has not come yet; give a time up to now, or `now`")
    return found


def as_span(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[datetime | None, datetime | None]:
    """`A..B`: two times, either of which may be left out."""
    if text is None:
        return None, None
    start, dots, end = text.partition("..")
    if not dots:
        raise click.BadParameter(f"{text!r} is not a window; write A..B, for example 2013-01-01..2013-03-01")
    first, last = as_time(ctx, param, start), as_time(ctx, param, end)
    if first is not None and last is not None and first >= last:
        raise click.BadParameter(f"{text!r} ends before it begins")
    return first, last


def as_settings(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, Any]:
    """`NAME=VALUE`, repeatedly; a value is read as JSON where it is JSON, else as text."""
    return dict(_setting(text) for text in texts)


def _setting(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise click.BadParameter(f"{text!r} is not a setting; write NAME=VALUE, for example trees=200")
    try:
        return name, orjson.loads(value)
    except orjson.JSONDecodeError:
        return name, value
