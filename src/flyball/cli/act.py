"""Verbs that change what answers, each kept in the audit: promote, rollback, archive, rollout; and alert test."""

from __future__ import annotations

import click

from flyball.cli.options import at_place, json_option, why_option
from flyball.cli.place import Place, open_home, the_project
from flyball.cli.show import fields, put
from flyball.dashboard.reads import newest_rollout, require_model
from flyball.dashboard.records import Rollout
from flyball.errors import Mistake, NotYet
from flyball.registry import audit, live
from flyball.registry.codec import plain
from flyball.registry.records import Deployment
from flyball.registry.versions import find, parse_reference, set_stage
from flyball.store import Database, utcnow


@click.command()
@click.argument("version", metavar="MODEL@REF")
@why_option
@at_place
@json_option
def promote(place: Place, version: str, why: str, as_json: bool) -> None:
    """Put a version live, after proving that it loads and answers. A rollout of the model that is under way ends."""
    from flyball.rollout import move  # onnxruntime: `--help` does without

    database = open_home(place)
    found = find(database, *parse_reference(version))
    before = live.current(database, found.model)
    after = move.promote(database, place.home, found.model, found.number, who=audit.local_user(), why=why, now=utcnow())
    _moved(database, before, after, as_json=as_json)


@click.command()
@click.argument("model")
@why_option
@at_place
@json_option
def rollback(place: Place, model: str, why: str, as_json: bool) -> None:
    """Put the version of MODEL back that was live before this one."""
    from flyball.rollout import move  # onnxruntime: `--help` does without

    database = open_home(place)
    require_model(database, model)
    before = live.current(database, model)
    after = move.rollback(database, place.home, model, who=audit.local_user(), why=why, now=utcnow())
    _moved(database, before, after, as_json=as_json)


@click.command()
@click.argument("version", metavar="MODEL@REF")
@why_option
@at_place
def archive(place: Place, version: str, why: str) -> None:
    """Put a version away; one that is live or a shadow is refused."""
    database = open_home(place)
    found = find(database, *parse_reference(version))
    name = f"v{found.number}"
    with database.write() as tx:
        deployed = live.current(tx, found.model)
        if deployed is not None and found.number in (deployed.live, *deployed.shadow):
            raise Mistake(f"{name} of {found.model} is {found.stage}; promote another version first")
        set_stage(tx, found.model, found.number, "archived")
        number = audit.record(
            tx,
            at=utcnow(),
            who=audit.local_user(),
            act="archive",
            model=found.model,
            was=f"{name} {found.stage}",
            becomes=f"{name} archived",
            why=why,
        )
    click.echo(f"{found.model} {name} archived. Audit #{number}.")


@click.command()
@click.argument("model")
@click.argument(
    "act",
    type=click.Choice(["status", "start", "pause", "resume", "abort"]),
    default="status",
    metavar="[status]",
)
@at_place
@json_option
def rollout(place: Place, model: str, act: str, as_json: bool) -> None:
    """How far the newest rollout of MODEL is."""
    database = open_home(place)
    require_model(database, model)
    if act != "status":
        raise NotYet(f"flyball rollout {model} {act} is not in this release; a run that passes its gate starts one")
    found = newest_rollout(database, model)
    put({"model": model, "rollout": plain(found) if found else None}, render_rollout(model, found), as_json=as_json)


@click.group()
def alert() -> None:
    """Alert channels."""


@alert.command("test")
@click.argument("channel")
@at_place
def alert_test(place: Place, channel: str) -> None:
    """Send a test message on CHANNEL of this project's flyball.toml, now."""
    from flyball.loop.alerts import test_channel  # urllib: `--help` does without

    test_channel(the_project(place), channel)
    click.echo(f"a test message went out on {channel}")


def render_rollout(model: str, found: Rollout | None) -> str:
    """Where a candidate stands."""
    if found is None:
        return f"{model} has had no rollout yet; a run that passes its gate starts one"
    champion = None if found.champion is None else f"v{found.champion}"
    return fields(
        [
            ("candidate", f"v{found.candidate}"),
            ("champion", champion),
            ("status", found.status),
            ("since", found.started_at),
            ("moved", found.moved_at),
        ]
    )


def _moved(database: Database, before: Deployment | None, after: Deployment, *, as_json: bool) -> None:
    """Say what answers now, and under which number the audit has it."""
    number = audit.entries(database, model=after.model, limit=1)[0].id
    was = before.live if before else None
    document = {"model": after.model, "from": was, "to": after.live, "generation": after.generation, "audit": number}
    arrow = f"v{was} → v{after.live}" if was is not None else f"v{after.live}"
    put(
        document,
        f"{after.model} {arrow}  verified, live for workers within a second. Audit #{number}.",
        as_json=as_json,
    )
