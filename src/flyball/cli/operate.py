"""Verbs for who runs it: token, ui, backup, restore."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from flyball.cli.addresses import USUAL, running
from flyball.cli.options import at_place, json_option
from flyball.cli.place import Place, open_home
from flyball.cli.show import minute, progress, put, table
from flyball.dashboard.reads import require_model
from flyball.registry.codec import plain
from flyball.registry.tokens import Role, Scope, create_token, first_token, revoke_token, tokens
from flyball.store import utcnow


@click.group()
def token() -> None:
    """Tokens: by role for the dashboard and its API, by scope for predictions and outcomes."""


@token.command("create")
@click.argument("name")
@click.option("--role", required=True, type=click.Choice(get_args(Role)), help="On the dashboard; a client has no say.")
@click.option("--model", help="For this model only.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(get_args(Scope)),
    help="On the data plane, where it asks for a token; may be repeated.",
)
@at_place
@json_option
def token_create(place: Place, name: str, role: str, model: str | None, scopes: tuple[str, ...], as_json: bool) -> None:
    """Make a token for NAME, who is recorded for what is done with it. It is shown this once."""
    database = open_home(place)
    if model is not None:
        require_model(database, model)
    made = create_token(database, name, role, utcnow(), scopes=scopes, model=model)
    told = {"name": name, "role": role, "scopes": sorted(set(scopes)), "model": model, "token": made}
    put(told, made, as_json=as_json)


@token.command("list")
@at_place
@json_option
def token_list(place: Place, as_json: bool) -> None:
    """Whose tokens there are, and what each opens."""
    found = tokens(open_home(place))
    rows = [(item.name, item.role, ", ".join(item.scopes) or None, item.model or "all") for item in found]
    put({"tokens": [plain(item) for item in found]}, table(("name", "role", "scopes", "model"), rows), as_json=as_json)


@token.command("revoke")
@click.argument("name")
@at_place
def token_revoke(place: Place, name: str) -> None:
    """Forget NAME's token: refused by the dashboard at once, by serving workers within two seconds."""
    revoke_token(open_home(place), name, utcnow())
    click.echo(f"{name}'s token is revoked")


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


@click.command()
@click.argument("target", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE")
@at_place
@json_option
def backup(place: Place, target: Path, as_json: bool) -> None:
    """Write the home to FILE (.tar.gz), while it is in use. It holds tokens and the salt of hashed columns: keep it safe."""
    from flyball.loop.backup import back_up  # pyarrow: `--help` does without

    kept = back_up(place.home, target, now=utcnow(), tell=lambda part: progress(f"{part} …"))
    text = f"{kept.files:,} files, {_megabytes(kept.bytes)} before compression, in {target}"
    put({"file": str(target), **plain(kept)}, text, as_json=as_json)


@click.command()
@click.argument("archive", type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE")
@at_place
@json_option
def restore(place: Place, archive: Path, as_json: bool) -> None:
    """Make a home of what `flyball backup` wrote: at --home, which must be new or empty. Every file is checked first."""
    from flyball.loop.backup import restore as put_back  # pyarrow: `--help` does without

    kept = put_back(archive, place.home)
    open_home(place).close()  # brings its schema up to date
    text = f"{kept.files:,} files, {_megabytes(kept.bytes)}, as they were at {minute(kept.at)}, in {place.home.path}"
    put({"home": str(place.home.path), **plain(kept)}, text, as_json=as_json)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
