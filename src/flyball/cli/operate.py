"""Verbs for who runs it: token, ui."""

from __future__ import annotations

from typing import get_args

import click

from flyball.cli.addresses import USUAL, running
from flyball.cli.options import at_place, json_option
from flyball.cli.place import Place, open_home
from flyball.cli.show import put
from flyball.dashboard.tokens import Role, create_token, first_token
from flyball.store import utcnow


@click.group()
def token() -> None:
    """Tokens for the dashboard and its API."""


@token.command("create")
@click.argument("name")
@click.option("--role", required=True, type=click.Choice(get_args(Role)), help="What its bearer may do.")
@at_place
@json_option
def token_create(place: Place, name: str, role: str, as_json: bool) -> None:
    """Make a token for NAME, who is recorded for what is done with it. It is shown this once."""
    made = create_token(open_home(place), name, role, utcnow())
    put({"name": name, "role": role, "token": made}, made, as_json=as_json)


@click.command()
@at_place
@json_option
def ui(place: Place, as_json: bool) -> None:
    """Print the dashboard's address with its token, for a browser. Whoever has the address may act."""
    database = open_home(place)
    found = running(place.home)
    up = found is not None and found.dashboard is not None
    base = found.dashboard if found is not None and found.dashboard is not None else USUAL.dashboard
    address = f"{base}/?token={first_token(place.home, database, utcnow())}"
    if not up:
        click.echo("`flyball up` does not run in this home; where the dashboard will be:", err=True)
    put({"dashboard": address, "running": up}, address, as_json=as_json)
