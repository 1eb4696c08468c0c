"""Which versions a worker has in memory: loaded before they answer, kept on disk so that a restart needs no database."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flyball.engine.bundle import read_contract, verify_bundle
from flyball.engine.session import Engine, load_engine
from flyball.errors import FlyballError
from flyball.registry.codec import dump, load_deployment
from flyball.registry.tokens import Grant
from flyball.serving.held import Held, Lack, Lazy, Loaded
from flyball.store import Home, read_json, write_json

if TYPE_CHECKING:
    from flyball.registry.records import Deployment

KEPT_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Roster:
    """Everything a worker serves at one moment; replaced whole, never edited."""

    #: newest generation that was looked at; -1: none yet.
    generation: int = -1
    models: Mapping[str, Held] = field(default_factory=dict)
    #: what is not as it was asked for.
    lacks: tuple[Lack, ...] = ()
    #: deployed models of which no version can be loaded.
    absent: Mapping[str, Lack] = field(default_factory=dict)
    #: the tokens that workers know.
    grants: tuple[Grant, ...] = ()

    @property
    def degraded(self) -> tuple[str, ...]:
        """What is not as it was asked for, as sentences with their reasons."""
        return tuple(map(str, self.lacks))


def load(
    home: Home,
    wanted: Mapping[str, Deployment],
    *,
    have: Roster,
    generation: int,
    threads: int = 1,
    lazy: Collection[str] = (),
) -> Roster:
    """The roster for `wanted`. Versions already in memory are not loaded again.

    A model whose live bundle cannot be loaded stays as `have` has it, else as it was last kept on disk; one whose
    shadow cannot be loaded is served without it. Either way the roster says so. `threads`: as of `load_engine`.
    `lazy`: models whose bundles are only proven whole, and loaded when they are first asked for.
    """
    kept: Mapping[str, Deployment] | None = None
    models: dict[str, Held] = {}
    lacks: list[Lack] = []
    absent: dict[str, Lack] = {}
    for name, deployment in wanted.items():
        before = have.models.get(name)
        try:
            models[name] = _held(home, deployment, before, lacks, threads, lazy=name in lazy)
        except (FlyballError, OSError) as error:
            kept = read_kept(home) if kept is None else kept
            last = before or _last_good(home, kept.get(name), lacks, threads, lazy=name in lazy)
            now = f"v{last.deployment.live} goes on answering" if last else "the model cannot answer"
            lacks.append(Lack(f"{name}: v{deployment.live} cannot be loaded, {now}", str(error)))
            if last:
                models[name] = last
            else:
                absent[name] = lacks[-1]
    return Roster(generation=generation, models=models, lacks=tuple(lacks), absent=absent)


def _held(
    home: Home, deployment: Deployment, have: Held | None, lacks: list[Lack], threads: int, *, lazy: bool
) -> Held:
    """As `_loaded`, or lazily where nobody has asked yet: once a model has answered, its next version is there in time."""
    if isinstance(have, Lazy) and have.deployment == deployment:
        return have
    loaded = have.loaded if have else None
    if not lazy or loaded:
        return _loaded(home, deployment, loaded, lacks, threads)
    for number in (deployment.live, *deployment.shadow):
        folder, digest = deployment.bundles[number]
        try:
            verify_bundle(home.path / folder, digest)
        except (FlyballError, OSError) as error:
            if number == deployment.live:
                raise
            lacks.append(_without(deployment, number, error))
    contract = read_contract(home.path / deployment.bundles[deployment.live][0])
    return Lazy(deployment, contract, lambda found: _loaded(home, deployment, None, found, threads))


def _loaded(home: Home, deployment: Deployment, have: Loaded | None, lacks: list[Lack], threads: int) -> Loaded:
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
            lacks.append(_without(deployment, number, error))
    return Loaded(deployment=deployment, engines=engines)


def _without(deployment: Deployment, shadow: int, error: Exception) -> Lack:
    return Lack(f"{deployment.model}: shadow v{shadow} cannot be loaded and scores nothing", str(error))


def _last_good(
    home: Home, deployment: Deployment | None, lacks: list[Lack], threads: int, *, lazy: bool
) -> Held | None:
    if deployment is None:
        return None
    try:
        return _held(home, deployment, None, lacks, threads, lazy=lazy)
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
