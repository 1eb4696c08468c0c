"""Verbs that change what answers, each kept in the audit: promote, rollback, freeze, archive, rollout."""

from __future__ import annotations

import time
from contextlib import closing
from datetime import datetime

import click

from flyball.cli.addresses import running
from flyball.cli.following import aliases_follow
from flyball.cli.options import as_time, at_place, json_option, reason_given, why_option
from flyball.cli.place import Place, open_home
from flyball.cli.show import fields, put
from flyball.client import Client
from flyball.dashboard.reads import newest_rollout, require_model
from flyball.dashboard.records import Rollout
from flyball.errors import Mistake, NotYet, Unavailable
from flyball.registry import audit, holds, live
from flyball.registry.codec import plain
from flyball.registry.records import Deployment
from flyball.registry.versions import find, parse_reference
from flyball.store import Database, Home, utcnow

#: workers look for a new deployment several times a second; a bundle takes a moment to load.
PATIENCE_S = 15
ASK_S = 0.05

#: what an approved version is from then on.
BECOMES = {
    "full": "it is live",
    "shadow": "it is a shadow until its outcomes decide",
    "queued": "it waits for its turn",
}


@click.command()
@click.argument("version", metavar="MODEL@REF")
@why_option
@click.option(
    "--despite-gate", is_flag=True, help="Even a version that its gate refused; needs --why, the audit keeps it."
)
@click.option("--despite-bar", is_flag=True, help="Even a version that was rolled back from; it is barred no longer.")
@at_place
@json_option
def promote(place: Place, version: str, why: str, despite_gate: bool, despite_bar: bool, as_json: bool) -> None:
    """Put a version live, after proving that it loads and answers. A rollout of the model that is under way ends."""
    from flyball.rollout import move  # onnxruntime: `--help` does without

    if despite_gate and not reason_given():
        raise Mistake(
            '--despite-gate goes with --why "...": what a gate refused goes live for a reason, which the audit keeps'
        )
    database = open_home(place)
    found = find(database, *parse_reference(version))
    before = live.current(database, found.model)
    with aliases_follow(place, database, found.model) as follow:
        after = move.promote(
            database,
            place.home,
            found.model,
            found.number,
            who=audit.local_user(),
            why=why,
            now=utcnow(),
            despite_bar=despite_bar,
            despite_gate=despite_gate,
        )
        _moved(place, database, before, after, as_json=as_json)
        follow()


@click.command()
@click.argument("model")
@why_option
@at_place
@json_option
def rollback(place: Place, model: str, why: str, as_json: bool) -> None:
    """Put the version of MODEL back that was live before this one, which is barred; MODEL is held until `freeze --lift`."""
    from flyball.rollout import move  # onnxruntime: `--help` does without

    database = open_home(place)
    require_model(database, model)
    before = live.current(database, model)
    with aliases_follow(place, database, model) as follow:
        after = move.rollback(database, place.home, model, who=audit.local_user(), why=why, now=utcnow())
        _moved(place, database, before, after, as_json=as_json)
        if not as_json and before is not None:
            lift = f"flyball freeze {model} --lift"
            click.echo(f"v{before.live} is barred, and nothing is done to {model} by itself until `{lift}`.")
        follow()


@click.command()
@click.argument("version", metavar="MODEL@REF")
@why_option
@at_place
@json_option
def approve(place: Place, version: str, why: str, as_json: bool) -> None:
    """Let a version that passed its gate go on. Under `[gate] approval = "human"`; by another than who wanted it."""
    from flyball.rollout import move  # onnxruntime: `--help` does without

    database, who = open_home(place), audit.local_user()
    found = find(database, *parse_reference(version))
    with aliases_follow(place, database, found.model) as follow:
        status = move.approve(database, place.home, found.model, found.number, who=who, why=why, now=utcnow())
        document = {"model": found.model, "version": found.number, "approved_by": who, "rollout": status}
        text = f"v{found.number} of {found.model} approved by {who}: {BECOMES[status]}."
        put(document, text, as_json=as_json)
        follow()


@click.command()
@click.argument("model", required=False)
@click.option("--until", callback=as_time, metavar="TIME", help="Ends by itself then; else when it is lifted.")
@click.option("--lift", is_flag=True, help="End the freezes, and the hold that a rollback left.")
@why_option
@at_place
@json_option
def freeze(place: Place, model: str | None, until: datetime | None, lift: bool, why: str, as_json: bool) -> None:
    """Stop every automatic act on MODEL, or on all: no retrain, no move of a rollout. Your own acts go on."""
    database, now = open_home(place), utcnow()
    if model is not None:
        require_model(database, model)
    if until is not None and (lift or until <= now):
        raise Mistake(
            f"--until {until:%Y-%m-%dT%H:%MZ} " + ("goes without --lift" if lift else "is over; give a later one")
        )
    name, who = model or holds.EVERY, audit.local_user()
    with database.write() as tx:
        ended = holds.lift(tx, model=name, who=who, why=why, now=now) if lift else []
        if not lift:
            holds.hold(tx, model=name, kind="freeze", until=until, who=who, why=why, now=now)
    left = holds.holds(database, now)
    lines = [f"lifted: {item.model or 'every model'} {item}" for item in ended]
    if lift and not ended:
        lines.append(f"nothing held {model or 'every model'}")
    lines += [f"in force: {item.model or 'every model'} {item}" for item in left]
    put(
        {"lifted": [plain(item) for item in ended], "holds": [plain(item) for item in left]},
        "\n".join(lines),
        as_json=as_json,
    )


@click.command()
@click.argument("version", metavar="MODEL@REF")
@why_option
@at_place
@json_option
def archive(place: Place, version: str, why: str, as_json: bool) -> None:
    """Put a version away, and what it waited for with it; one that is live or a shadow is refused."""
    from flyball.rollout import putting_away

    database = open_home(place)
    found = find(database, *parse_reference(version))
    with aliases_follow(place, database, found.model) as follow:
        number = putting_away.archive(
            database, found.model, found.number, who=audit.local_user(), why=why, now=utcnow()
        )
        document = {"model": found.model, "version": found.number, "was": found.stage, "audit": number}
        put(document, f"{found.model} v{found.number} archived. Audit #{number}.", as_json=as_json)
        follow()


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


def _moved(place: Place, database: Database, before: Deployment | None, after: Deployment, *, as_json: bool) -> None:
    """Say what answers now, since when, and under which number the audit has it."""
    number = audit.entries(database, model=after.model, limit=1)[0].id
    was, seconds = before.live if before else None, _answering_after(place.home, after)
    document = {
        "model": after.model,
        "from": was,
        "to": after.live,
        "generation": after.generation,
        "audit": number,
        "answering_after_s": seconds,
    }
    arrow = f"v{was} → v{after.live}" if was is not None else f"v{after.live}"
    seen = "no server runs in this home" if seconds is None else f"answering after {seconds:.1f} s"
    put(document, f"{after.model} {arrow}  verified, {seen}. Audit #{number}.", as_json=as_json)


def _answering_after(home: Home, deployment: Deployment) -> float | None:
    """Seconds until a worker said that it answers with this deployment or a later one; None: no server runs here."""
    there, began = running(home), time.monotonic()
    while there is not None:
        with closing(Client(there.serve)) as client:
            served = client.get("/readyz")["models"].get(deployment.model)
        if served is not None and served["generation"] >= deployment.generation:
            return round(time.monotonic() - began, 2)
        if time.monotonic() - began > PATIENCE_S:
            raise Unavailable(
                f"{deployment.model} v{deployment.live} is recorded as live, but {there.serve} does not answer with it after "
                f"{PATIENCE_S:g} s; {there.serve}/readyz tells why"
            )
        time.sleep(ASK_S)
    return None
