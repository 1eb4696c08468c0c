"""Which versions a worker has in memory: loaded before they answer, kept on disk so that a restart needs no database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flyball.engine.session import Engine, load_engine
from flyball.errors import FlyballError
from flyball.registry.codec import dump, load_deployment
from flyball.registry.tokens import Grant
from flyball.store import Home, read_json, write_json

if TYPE_CHECKING:
    from flyball.registry.records import Deployment

KEPT_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """One model's deployment with its versions in memory."""

    deployment: Deployment
    #: the live version, and those shadows that could be loaded.
    engines: Mapping[int, Engine]


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Everything a worker serves at one moment; replaced whole, never edited."""

    #: newest generation that was looked at; -1: none yet.
    generation: int = -1
    models: Mapping[str, Loaded] = field(default_factory=dict)
    #: what is not as it was asked for, as sentences.
    degraded: tuple[str, ...] = ()
    #: deployed models of which no version can be loaded -> why, as a sentence.
    absent: Mapping[str, str] = field(default_factory=dict)
    #: the tokens that workers know.
    grants: tuple[Grant, ...] = ()


def load(home: Home, wanted: Mapping[str, Deployment], *, have: Roster, generation: int, threads: int = 1) -> Roster:
    """The roster for `wanted`. Versions already in memory are not loaded again.

    A model whose live bundle cannot be loaded stays as `have` has it, else as it was last kept on disk; one whose
    shadow cannot be loaded is served without it. Either way the roster says so. `threads`: as of `load_engine`.
    """
    kept: Mapping[str, Deployment] | None = None
    models: dict[str, Loaded] = {}
    degraded: list[str] = []
    absent: dict[str, str] = {}
    for name, deployment in wanted.items():
        try:
            models[name] = _loaded(home, deployment, have.models.get(name), degraded, threads)
        except (FlyballError, OSError) as error:
            kept = read_kept(home) if kept is None else kept
            last = have.models.get(name) or _last_good(home, kept.get(name), degraded, threads)
            now = f"v{last.deployment.live} goes on answering" if last else "the model cannot answer"
            degraded.append(f"{name}: v{deployment.live} cannot be loaded, {now}: {error}")
            if last:
                models[name] = last
            else:
                absent[name] = degraded[-1]
    return Roster(generation=generation, models=models, degraded=tuple(degraded), absent=absent)


def _loaded(home: Home, deployment: Deployment, have: Loaded | None, degraded: list[str], threads: int) -> Loaded:
    """Raises what `load_engine` raises for the live version."""
    in_memory = (
        {digest: have.engines.get(number) for number, (_, digest) in have.deployment.bundles.items()} if have else {}
    )
    engines: dict[int, Engine] = {}
    for number in (deployment.live, *deployment.shadow):
        folder, digest = deployment.bundles[number]
        try:
            engines[number] = in_memory.get(digest) or load_engine(home.path / folder, digest, threads=threads)
        except (FlyballError, OSError) as error:
            if number == deployment.live:
                raise
            degraded.append(f"{deployment.model}: shadow v{number} cannot be loaded and scores nothing: {error}")
    return Loaded(deployment=deployment, engines=engines)


def _last_good(home: Home, deployment: Deployment | None, degraded: list[str], threads: int) -> Loaded | None:
    if deployment is None:
        return None
    try:
        return _loaded(home, deployment, None, degraded, threads)
    except (FlyballError, OSError):
        return None


def kept_path(home: Home) -> Path:
    return home.serving / "deployments.json"


def read_kept(home: Home) -> dict[str, Deployment]:
    """The deployments that were last served from this home; empty when there are none that can be read."""
    try:
        value = read_json(kept_path(home))
        items = value["deployments"] if value["format"] == KEPT_FORMAT else []
        found = [load_deployment(item["record"], generation=item["generation"]) for item in items]
    except (OSError, ValueError, KeyError, TypeError, FlyballError):
        return {}
    return {deployment.model: deployment for deployment in found}


def keep(home: Home, wanted: Mapping[str, Deployment]) -> None:
    """Keep what is served for a start without the database. A full disk is no reason not to serve."""
    if wanted == read_kept(home):
        return
    items = [{"generation": item.generation, "record": dump(item)} for item in wanted.values()]
    try:
        write_json(kept_path(home), {"format": KEPT_FORMAT, "deployments": items})
    except OSError:
        pass  # the next change tries again
