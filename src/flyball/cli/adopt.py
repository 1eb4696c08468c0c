"""`flyball adopt URI --reference FILE`: a model that exists already becomes a version, and is served."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flyball.cli.following import follow
from flyball.cli.options import FOLDER, json_option, why_option
from flyball.cli.pipeline import render_release
from flyball.cli.place import Place, find_place, open_home
from flyball.cli.show import printable, progress, put
from flyball.errors import Mistake, Refused
from flyball.project.load import load_project
from flyball.project.records import Project
from flyball.registry.audit import local_user
from flyball.registry.codec import plain
from flyball.store import find_home, utcnow

if TYPE_CHECKING:
    from flyball.loop.adopt import Looked
    from flyball.loop.attempt import Release
    from flyball.registry.records import Version

ASKED = ("target", "task", "positive", "key", "timestamp")


@click.command()
@click.argument("source", metavar="URI")
@click.option(
    "--reference",
    required=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Rows with features and what came true: .parquet, .csv or .jsonl.",
)
@click.option("--name", help="The model's name; else as MLflow has it registered, else the file's or folder's.")
@click.option("--target", help="Column of what came true.")
@click.option("--task", type=click.Choice(["binary", "multiclass", "regression"]))
@click.option("--positive", metavar="CLASS", help="Of a binary task: whose probability is answered.")
@click.option("--key", metavar="COLUMN", help="Column that names the entity; outcomes come back by it.")
@click.option("--timestamp", metavar="COLUMN", help="Column of the event time.")
@click.option("--unseen", is_flag=True, help="The model was not trained on these rows.")
@click.option("--fail-on-refusal", is_flag=True, help="Exit 3 when the gate refuses.")
@why_option
@click.option(
    "--project", type=FOLDER, metavar="DIR", help="Folder of flyball.toml, which is written if there is none."
)
@click.option(
    "--home", type=FOLDER, metavar="DIR", help="Where Flyball keeps things; else FLYBALL_HOME, else .flyball."
)
@json_option
def adopt(
    source: str,
    reference: Path,
    name: str | None,
    unseen: bool,
    fail_on_refusal: bool,
    why: str,
    project: Path | None,
    home: Path | None,
    as_json: bool,
    **asked: str | None,
) -> None:
    """Make a version of a model that exists already: models:/NAME/N, runs:/RUN/model, a folder with MLmodel, or an .onnx
    file. It is compiled or served as it is, profiled on the reference table, judged by the gate and put live.

    Without a flyball.toml one is written; what nobody said is inferred where it cannot be meant otherwise, and told.
    """
    from flyball.loop import adopt as adopting  # onnxruntime: `--help` does without
    from flyball.loop.site import open_site, tracking_stores, tracking_uri

    now, place = utcnow(), _place(project, home)
    known = load_project(place.project) if place.project else None
    folder = known.directory if known else (project or Path.cwd()).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    where, table = _absolute(source), reference.expanduser().resolve()
    progress(f"looking at {source}")
    looked = adopting.look(
        folder,
        where,
        table,
        wanted(known, name, asked),
        stores=tracking_stores(tracking_uri(place.home), folder),
        now=now,
    )
    if known is None:
        known = _begun(folder, name or name_of(source, folder), looked)
    database = open_home(Place(project=folder, home=place.home, named=place.named), make=True)
    with open_site(known, place.home, database, progress) as site:
        came = adopting.adopt(
            site,
            looked,
            source=where,
            reference=table,
            seen="no" if unseen else "unknown",
            why=why,
            now=now,
            who=local_user(),
        )
        follow(site)
    _tell(came, looked, as_json=as_json, fail_on_refusal=fail_on_refusal)


def wanted(project: Project | None, name: str | None, asked: Mapping[str, str | None]) -> dict[str, Any]:
    """What is asked for: by a project where there is one, which options may repeat and not contradict. Raises Mistake."""
    if project is None:
        return {**asked, "features": None, "declared": False}
    settings = project.model
    declared = {item: getattr(settings, item) for item in ASKED}
    for item, value in {**asked, "name": name}.items():
        if value is not None and value != getattr(settings, item):
            there = project.directory / "flyball.toml"
            raise Mistake(
                f"--{item} {value}: {there} says {getattr(settings, item)!r}; change it there, or leave it out"
            )
    return {**declared, "features": settings.features, "declared": True}


def name_of(source: str, folder: Path) -> str:
    """A model's name from where it comes: models:/churn/3 and churn.onnx are churn; else the folder's."""
    from flyball.project.create import model_name

    registered = re.match(r"models:/(?!m-[0-9a-f]{32})([^/@]+)", source)
    if registered:
        return model_name(registered[1])
    path = Path(source)
    return model_name(path.stem if path.suffix == ".onnx" and path.stem != "model" else folder.name)


def _place(project: Path | None, home: Path | None) -> Place:
    """As other verbs find it, but that a named project's flyball.toml may yet have to be written."""
    told = click.get_current_context().find_root().params
    project, home = project or told.get("project"), home or told.get("home")
    if project is None or (project / "flyball.toml").is_file():
        return find_place(project, home)
    folder = project.absolute()
    return Place(
        project=None,
        home=find_home(folder, os.environ, home),
        named=home is not None or bool(os.environ.get("FLYBALL_HOME")),
    )


def _absolute(source: str) -> str:
    return source if re.match(r"(models|runs):/", source) else str(Path(source).expanduser().resolve())


def _begun(folder: Path, name: str, looked: Looked) -> Project:
    from flyball.project.adopting import begin_adopted

    return begin_adopted(folder, {**looked.settings, "name": name})


def _tell(came: Release | Version, looked: Looked, *, as_json: bool, fail_on_refusal: bool) -> None:
    from flyball.loop.attempt import Release

    told: Sequence[str] = (*looked.told, *looked.notes)
    lines = "".join(f"{printable(line)}\n" for line in told)
    if not isinstance(came, Release):
        text = (
            f"{came.model} v{came.number} is this model with this table already, made {came.created_at:%Y-%m-%d %H:%M}Z"
        )
        put({"already": True, "version": came.number, "told": list(told)}, text, as_json=as_json)
        return
    text = f"{lines}\n{render_release(came)}" if lines else render_release(came)
    put({**plain(came), "already": False, "told": list(told)}, text, as_json=as_json)
    if fail_on_refusal and not came.passed:
        raise Refused(f"{came.verdict.model} v{came.version} was refused by its gate")
