"""`flyball doctor`: what is installed, reachable, writable; each finding with its mend."""

from __future__ import annotations

import os
import platform
import re
import shutil
import socket
import sqlite3
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import click

from flyball.cli.addresses import DASHBOARD_PORT, SERVE_PORT, running
from flyball.cli.options import at_place, json_option
from flyball.cli.place import Place
from flyball.cli.show import put, table
from flyball.errors import FlyballError
from flyball.project.load import check_project
from flyball.registry.codec import plain
from flyball.store import Home
from flyball.store.database import DATABASE_URL, database_url
from flyball.store.sqlite import reading

#: below this the journal may soon be unable to grow.
LEAST_FREE_BYTES = 2 * 1024**3

REACH_TIMEOUT_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One thing looked at."""

    what: str
    #: ok | note (works, but know it) | broken
    state: Literal["ok", "note", "broken"]
    told: str
    mend: str = ""


@click.command()
@at_place
@json_option
@click.pass_context
def doctor(ctx: click.Context, place: Place, as_json: bool) -> None:
    """Look at what Flyball needs: Python, packages, home, disk, ports, database, MLflow, project. Exit 1 if one is broken."""
    found = [*_installed(), *_home(place.home), *_alerts(place.home), *_ports(place.home), _mlflow(), *_project(place)]
    broken = any(item.state == "broken" for item in found)
    put({"ok": not broken, "findings": [plain(item) for item in found]}, render(found), as_json=as_json)
    ctx.exit(1 if broken else 0)


def render(found: list[Checked]) -> str:
    """A line a finding; then the mends."""
    lines = table(("", "WHAT", "FOUND"), [(item.state, item.what, item.told) for item in found])
    mends = "\n".join(f"{item.what}: {item.mend}" for item in found if item.mend)
    return f"{lines}\n\n{mends}" if mends else lines


def _installed() -> Iterator[Checked]:
    state: Literal["ok", "broken"] = "ok" if sys.version_info >= (3, 11) else "broken"
    yield Checked(what="python", state=state, told=f"{platform.python_version()}, {sys.executable}")
    needs = [item for item in metadata.requires("flyball") or () if "extra ==" not in item]
    missing = [name for name in map(_name, needs) if not _version(name)]
    if missing:
        mend = "install them: python -m pip install --upgrade flyball"
        yield Checked(what="packages", state="broken", told=f"missing: {', '.join(missing)}", mend=mend)
    else:
        yield Checked(what="packages", state="ok", told=f"all {len(needs)} are installed")
    if not _version("lightgbm"):
        yield Checked(
            what="lightgbm",
            state="note",
            told="not installed",
            mend="wanted? python -m pip install 'flyball[lightgbm]'",
        )


def _home(home: Home) -> Iterator[Checked]:
    nearest = next(folder for folder in (home.path, *home.path.parents) if folder.exists())
    if not os.access(nearest, os.W_OK):
        mend = f"make {nearest} writable for {os.environ.get('USER', 'this user')}, or give --home"
        yield Checked(what="home", state="broken", told=f"{home.path} cannot be written", mend=mend)
    else:
        made = "" if home.path.exists() else ", not made yet"
        yield Checked(what="home", state="ok", told=f"{home.path}{made}")
    yield _disk(nearest)
    if os.environ.get(DATABASE_URL):
        yield _server()
    elif home.database.exists():
        yield _database(home.database)


def _disk(folder: Path) -> Checked:
    free = shutil.disk_usage(folder).free
    told = f"{free / 1024**3:,.1f} GiB free"
    if free < LEAST_FREE_BYTES:
        mend = "free some space: a full disk stops the journal, not the answers"
        return Checked(what="disk", state="note", told=told, mend=mend)
    return Checked(what="disk", state="ok", told=told)


def _database(path: Path) -> Checked:
    try:
        with closing(reading(path)) as connection:
            verdict = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.Error as error:
        verdict = str(error)
    if verdict == "ok":
        return Checked(what="database", state="ok", told=f"{path}, {path.stat().st_size / 1024**2:,.1f} MiB")
    mend = f"stop everything that uses {path} and put a copy back"
    return Checked(what="database", state="broken", told=verdict, mend=mend)


def _server() -> Checked:
    try:
        url = database_url(os.environ)
        assert url is not None
        from flyball.store import postgres  # an extra

        return Checked(what="database", state="ok", told=postgres.describe(url))
    except FlyballError as error:
        mend = f"start that server, mend {DATABASE_URL}, or unset it to use the SQLite file in the home folder"
        return Checked(what="database", state="broken", told=str(error), mend=mend)


#: what was not taken, and will not be until somebody does something about it.
_REFUSED = (
    "SELECT channel, count(*) AS messages, max(error) AS error FROM delivery WHERE status = 'refused'"
    " GROUP BY channel ORDER BY channel"
)


def _alerts(home: Home) -> Iterator[Checked]:
    """A note a channel that refuses messages; nothing where none does, or the database is in trouble, which is told."""
    for channel, messages, error in _refused(home):
        yield Checked(
            what=f"alerts to {channel}",
            state="note",
            told=f"not taken: {messages} ({error})",
            mend=f"mend the channel, try it with `flyball alert test {channel}`, then `flyball alert retry {channel}`",
        )


def _refused(home: Home) -> list[tuple[str, int, str]]:
    try:
        if url := database_url(os.environ):
            from flyball.store import postgres  # an extra

            with closing(postgres.server(url)) as server:
                return [(row["channel"], row["messages"], row["error"]) for row in server.all(_REFUSED)]
        if not home.database.exists():
            return []
        with closing(reading(home.database)) as connection:
            return [tuple(row) for row in connection.execute(_REFUSED)]
    except (FlyballError, sqlite3.Error):  # also a home of an earlier version, which has no such table yet
        return []


def _ports(home: Home) -> Iterator[Checked]:
    found = running(home)
    if found is not None:
        yield Checked(what="servers", state="ok", told=f"running: {found.serve}, dashboard {found.dashboard or 'none'}")
        return
    for port in (SERVE_PORT, DASHBOARD_PORT):
        with closing(socket.socket()) as probe:
            busy = probe.connect_ex(("127.0.0.1", port)) == 0
        told = "in use by another program; `flyball up` takes the next free one" if busy else "free"
        yield Checked(what=f"port {port}", state="note" if busy else "ok", told=told)


def _mlflow() -> Checked:
    uri = urlsplit(os.environ.get("MLFLOW_TRACKING_URI", ""))
    if uri.scheme not in ("http", "https"):
        told = f"MLFLOW_TRACKING_URI, {uri.scheme or 'a folder'}" if any(uri) else "embedded, in the home"
        return Checked(what="MLflow", state="ok", told=told)
    # Without user and password, which the address may hold: neither is needed for this, nor may an error repeat them.
    server = f"{uri.scheme}://{uri.netloc.rpartition('@')[2]}{uri.path.rstrip('/')}"
    try:
        urllib.request.urlopen(f"{server}/health", timeout=REACH_TIMEOUT_S).close()  # noqa: S310  # http(s) only
    except OSError as error:
        mend = "start that server, or unset MLFLOW_TRACKING_URI to use the embedded one"
        return Checked(what="MLflow", state="broken", told=f"MLFLOW_TRACKING_URI does not answer: {error}", mend=mend)
    return Checked(what="MLflow", state="ok", told="MLFLOW_TRACKING_URI answers")


def _project(place: Place) -> Iterator[Checked]:
    if place.project is None:
        yield Checked(what="project", state="note", told="none from here upward", mend="`flyball init DIR` writes one")
        return
    findings = check_project(place.project)
    if findings:
        told = f"{len(findings)} findings, the first: {findings[0]}"
        yield Checked(what="project", state="broken", told=told, mend="`flyball check` tells them all")
    else:
        yield Checked(what="project", state="ok", told=str(place.project))


def _name(requirement: str) -> str:
    """The distribution in `numpy>=2.0`."""
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
