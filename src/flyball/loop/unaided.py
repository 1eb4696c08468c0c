"""MLflow's registry read and written without MLflow's library, which takes seconds to import: its aliases and tags stand in
three small tables of its SQLite file, or are asked for over its REST API.

What does not look as it is known here is left to the library: another store, tables of another form, another way to log in.
"""

from __future__ import annotations

import os
import re
import sqlite3
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Protocol

from flyball.errors import Unavailable
from flyball.loop.unaided_file import File, Unfamiliar, opened_file
from flyball.loop.unaided_server import Server
from flyball.registry.aliases import moved, wanted

#: how long a look may take, seconds.
TIMEOUT_S = 5
#: variables by which MLflow's client is told how to log in, as it is here; of the others only its library knows.
_KNOWN = frozenset(
    {"MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}
)
_OTHERS = ("MLFLOW_TRACKING_", "MLFLOW_WORKSPACE")


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What MLflow is to say of one model."""

    #: version -> stage.
    stages: Mapping[int, str]
    #: free alias -> version.
    free: Mapping[str, int]
    #: free aliases that were taken away since MLflow was told.
    deleted: tuple[str, ...] = ()
    #: the audit's, which MLflow keeps as a witness outside the database.
    head: str | None = None


class Registry(Protocol):
    """One registered model in MLflow, opened."""

    def aliases(self) -> dict[str, int]: ...

    def head(self) -> str | None:
        """The audit's head that is kept with it."""

    def tags(self) -> dict[int, str | None]:
        """Version -> its `STAGE`, of every version there is."""

    def point(self, alias: str, version: int | None) -> None:
        """None: the alias is taken away."""

    def tag(self, version: int, stage: str) -> None: ...

    def witness(self, head: str) -> None: ...


def is_known(uri: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the store at `uri` is of a kind that is read and written here."""
    if uri.startswith("sqlite:///"):
        return "?" not in uri
    others = {name for name in environ if name.startswith(_OTHERS)} - _KNOWN
    kept = Path("~/.mlflow/credentials").expanduser()
    plain = uri.startswith(("http://", "https://")) and "@" not in urllib.parse.urlsplit(uri).netloc
    return plain and not others and not kept.exists()


def read(uri: str, model: str) -> dict[str, int] | None:
    """The model's aliases in MLflow's registry; None where they cannot be read, or not in this way."""
    try:
        with opened(uri, model, timeout_s=TIMEOUT_S) as registry:
            return registry.aliases()
    except (Unfamiliar, Unavailable):
        return None


@contextmanager
def opened(uri: str, model: str, *, timeout_s: float, write: bool = False) -> Iterator[Registry]:
    """The model in the registry at `uri`, for the block, all or none of whose writes happen in a file.

    Raises Unfamiliar where only MLflow's library may know how to go on; Unavailable.
    """
    try:
        if not is_known(uri):
            raise Unfamiliar(_shown(uri))
        if uri.startswith("sqlite:"):
            with opened_file(uri.removeprefix("sqlite:///"), timeout_s, write=write) as file:
                yield File(file, model)
        else:
            yield Server(uri.rstrip("/"), model, timeout_s)
    except urllib.error.HTTPError as error:
        raise Unfamiliar(f"MLflow answered {error.code}") from error
    except (HTTPException, ValueError, KeyError, TypeError) as error:
        raise Unfamiliar("MLflow answered in another form") from error
    except OSError as error:
        raise Unavailable(f"{_shown(uri)} cannot be reached ({getattr(error, 'reason', None) or error})") from error
    except sqlite3.Error as error:
        raise Unavailable(f"{_shown(uri)}: {error}") from error


def say(registry: Registry, model: str, told: Told) -> None:
    """Make MLflow's aliases and tags say what `told` does. Raises Unavailable where MLflow lacks one of the versions."""
    tags = registry.tags()
    ours = wanted(told.stages, told.free)
    lacking = sorted(set(ours.values()) - set(tags))
    if lacking:
        raise Unavailable(f"MLflow has no version {', '.join(map(str, lacking))} of {model}")
    for alias, (should, _) in moved(ours, registry.aliases(), told.deleted).items():
        registry.point(alias, should)
    for version, stage in told.stages.items():
        if version in tags and tags[version] != stage:
            registry.tag(version, stage)
    if told.head:
        registry.witness(told.head)


def _shown(uri: str) -> str:
    """An address without what may stand in it of a user and a password."""
    return re.sub(r"//[^/@]*@", "//", uri).partition("?")[0]
