"""`flyball alias`: a version's name besides number, stage and label, kept in the audit; MLflow's clients see it too."""

from __future__ import annotations

import click

from flyball.cli.following import aliases_follow
from flyball.cli.options import at_place, json_option, why_option
from flyball.cli.place import Place, open_home
from flyball.cli.show import put
from flyball.errors import Mistake
from flyball.registry import audit, names
from flyball.registry.projects import require_model
from flyball.registry.versions import find, parse_reference
from flyball.store import Database, utcnow


@click.command()
@click.argument("target", metavar="MODEL@REF")
@click.argument("name")
@click.option("--delete", is_flag=True, help="Take NAME away: `flyball alias --delete MODEL NAME`.")
@why_option
@at_place
@json_option
def alias(place: Place, target: str, name: str, delete: bool, why: str, as_json: bool) -> None:
    """Give a version a NAME, or move it there: `MODEL@NAME` is that version wherever REF is taken. With --delete it is gone."""
    database = open_home(place)
    if delete:
        _delete(place, database, target, name, why, as_json=as_json)
        return
    found = find(database, *parse_reference(target))
    names.refuse(database, found.model, name)  # before a process for MLflow is begun
    with aliases_follow(place, database, found.model) as follow:
        with database.write() as tx:
            was, number = names.set_alias(
                tx, model=found.model, name=name, version=found.number, who=audit.local_user(), why=why, now=utcnow()
            )
        before = "" if was is None else f", was v{was}"
        text = f"{found.model}@{name} is v{found.number}{before}. Audit #{number}."
        if number is None:
            text = f"{found.model}@{name} is v{was} already; nothing was changed."
        document = {"model": found.model, "alias": name, "from": was, "to": found.number, "audit": number}
        put(document, text, as_json=as_json)
        follow()


def _delete(place: Place, database: Database, model: str, name: str, why: str, *, as_json: bool) -> None:
    if "@" in model:
        plain = model.partition("@")[0]
        raise Mistake(f"--delete takes a model without a version; write `flyball alias --delete {plain} {name}`")
    require_model(database, model)
    with aliases_follow(place, database, model) as follow:
        with database.write() as tx:
            was, number = names.delete_alias(tx, model=model, name=name, who=audit.local_user(), why=why, now=utcnow())
        document = {"model": model, "alias": name, "from": was, "to": None, "audit": number}
        put(document, f"{model}@{name} names nothing now, was v{was}. Audit #{number}.", as_json=as_json)
        follow()
