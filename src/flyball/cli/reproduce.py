"""`flyball reproduce MODEL@REF`: train a version again from what was kept of it, and say whether it is the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from flyball.cli.options import at_place, json_option
from flyball.cli.place import Place, open_home
from flyball.cli.show import fields, progress, put
from flyball.errors import Mistake
from flyball.registry.audit import local_user
from flyball.registry.codec import plain
from flyball.registry.decisions import decide
from flyball.registry.projects import projects
from flyball.registry.versions import find, parse_reference
from flyball.store import new_id, utcnow

if TYPE_CHECKING:
    from flyball.loop.reproduce import Reproduction

#: packages named in the text; all of them are in the JSON.
NAMED = 8


@click.command()
@click.argument("version", metavar="MODEL@REF")
@click.option(
    "--environment",
    type=click.Choice(["lock", "current"]),
    default="lock",
    show_default=True,
    help="In the packages it was made with, installed again where they differ; or in these, to see what they change.",
)
@at_place
@json_option
def reproduce(place: Place, version: str, environment: str, as_json: bool) -> None:
    """Train a version again: its recipe, data, parameters, seed and packages; then compare it with what was registered.

    Exit 0: bit-equal, or equal within the version's tolerance. Exit 1: different. Nothing is registered; the finding is
    kept as a decision.
    """
    from flyball.loop import reproduce as again  # pandas and onnxruntime: `--help` does without

    database = open_home(place)
    found = find(database, *parse_reference(version))
    known = projects(database)
    if found.model not in known:
        raise Mistake(f"no project in this home makes {found.model}; `flyball run` in its folder adds it")
    made = again.reproduce(database, place.home, found, known[found.model], rebuild=environment == "lock", say=progress)
    with database.write() as tx:
        decide(
            tx,
            model=made.model,
            at=utcnow(),
            kind="reproduce",
            subject=f"v{made.version}",
            verdict=made.result,
            reason=f"{local_user()} asked: {sentence(made)}",
            evidence=plain(made),
            dedup=f"reproduce:{new_id()}",
        )
    put(plain(made), render(made), as_json=as_json)
    if made.result == "different":
        raise SystemExit(1)


def sentence(made: Reproduction) -> str:
    """`bit-equal on 6,402 rows`, or how far from it."""
    if made.result == "bit-equal":
        return f"bit-equal on {made.rows:,} rows"
    return f"{made.result}: {made.differing:,} of {made.rows:,} rows differ, by at most {made.largest:.3g}"


def render(made: Reproduction) -> str:
    """The result, then what was compared and what is not as it was."""
    told = {True: "equal", False: "different", None: "cannot be told"}
    packages = [f"{name} {was or 'absent'} → {now or 'absent'}" for name, (was, now) in made.packages.items()]
    more = f", and {len(packages) - NAMED} more" if len(packages) > NAMED else ""
    return fields(
        [
            ("version", f"{made.model} v{made.version}  {made.label}"),
            ("result", sentence(made)),
            ("predictions", f"{made.rows - made.differing:,} of {made.rows:,} rows equal to the bit"),
            ("model's dump", told[made.dump_equal]),
            ("compiled graph", told[made.graph_equal]),
            (
                "data",
                "read from its source again, same digest" if made.data == "source" else "the rows kept with its run",
            ),
            ("environment", "; ".join(packages[:NAMED]) + more if packages else "the packages it was made with"),
            *(("note", note) for note in made.notes),
        ]
    )
