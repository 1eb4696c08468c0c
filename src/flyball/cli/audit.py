"""`flyball audit`: who changed what, and whether the record of it was tampered with."""

from __future__ import annotations

from collections.abc import Sequence

import click

from flyball.cli.options import at_place, json_option, limit_option
from flyball.cli.place import Place, open_home
from flyball.cli.show import put, table
from flyball.errors import Mistake, Unavailable
from flyball.registry import audit as book
from flyball.registry import chain
from flyball.registry.codec import plain
from flyball.store import Database


@click.command()
@click.argument("act", type=click.Choice(["list", "verify"]), default="list", metavar="[list|verify]")
@click.option("--model", help="Of this model only.")
@click.option("--head", "heads", multiple=True, metavar="N:DIGEST", help="verify: a head that was kept elsewhere.")
@limit_option
@at_place
@json_option
def audit(place: Place, act: str, model: str | None, heads: tuple[str, ...], limit: int, as_json: bool) -> None:
    """Who changed what, when, from what to what, and why; newest first. verify: whether that was tampered with."""
    database = open_home(place)
    if act == "verify":
        if model is not None:
            raise Mistake("flyball audit verify --model: the chain is that of all models; leave --model out")
        _verify(place, database, heads, as_json=as_json)
        return
    if heads:
        raise Mistake("--head is for `flyball audit verify`")
    found = book.entries(database, model=model, limit=limit)
    text = table(
        ("#", "AT", "WHO", "ACT", "MODEL", "FROM", "TO", "GATE", "WHY"),
        [
            (item.id, item.at, item.who, item.act, item.model, item.was, item.becomes, _gate(item), item.why)
            for item in found
        ],
    )
    put({"entries": [plain(item) for item in found]}, text, as_json=as_json)


def _gate(entry: book.AuditEntry) -> str | None:
    """`refused, despite it`: a person put it live all the same."""
    return f"{entry.gate}, despite it" if entry.evidence.get("despite_gate") else entry.gate


def _verify(place: Place, database: Database, heads: Sequence[str], *, as_json: bool) -> None:
    """Exit code 1 where anything was done to the audit."""
    from flyball.loop.witness import mlflow_heads  # step processes: `--help` does without

    unasked = None
    with mlflow_heads(place.home, database) as ask:
        try:
            witnesses = ask()
        except Unavailable as error:
            witnesses, unasked = {}, str(error)
    found = chain.verify(database, heads, witnesses)
    lines = [f"#{fault.entry} {fault.what}" for fault in found.faults] or [
        f"{found.entries:,} entries, each as it was written, in order; {found.heads:,} heads kept elsewhere are among them, and "
        f"{found.told_of:,} rows of live history and gate decisions are as they tell"
    ]
    if unasked:
        lines.append(f"the heads that MLflow keeps were not looked for: {unasked}")
    if found.head and not found.faults:
        lines.append(f"head {found.head}")
    document = {"ok": not found.faults, **plain(found), "mlflow_heads": len(witnesses), "mlflow_unasked": unasked}
    put(document, "\n".join(lines), as_json=as_json)
    if found.faults:
        raise SystemExit(1)
