"""MLflow's registry read and written without MLflow's library, which takes seconds to import: its aliases and tags stand in
three small tables of its SQLite file, or are asked for over its REST API.

What does not look as it is known here is left to the library: another store, tables of another form, another way to log in.
"""

from __future__ import annotations

import base64
import os
import re
import sqlite3
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol

import orjson

from flyball.errors import Unavailable
from flyball.registry.aliases import moved, wanted

#: how long a look may take, seconds.
TIMEOUT_S = 5
#: tags of MLflow's: of a version, its stage here; of a registered model, the head of the audit.
STAGE = "flyball.stage"
HEAD = "flyball.audit_head"
#: versions asked for at once; the most that MLflow's server takes.
PAGE = 10_000

#: the columns of MLflow's tables that are written; those of MLflow before 3.10 lack the workspace.
_TABLES = {
    "registered_model_aliases": {"name", "alias", "version"},
    "registered_model_tags": {"name", "key", "value"},
    "model_version_tags": {"name", "version", "key", "value"},
}
_WORKSPACE = "workspace"
#: variables by which MLflow's client is told how to log in, as it is here; of the others only its library knows.
_KNOWN = frozenset(
    {"MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}
)
_OTHERS = ("MLFLOW_TRACKING_", "MLFLOW_WORKSPACE")


class Unfamiliar(Exception):
    """This store is not one that is known here; no error: the library is asked instead."""


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
            with _file(uri.removeprefix("sqlite:///"), timeout_s, write=write) as file:
                yield _File(file, model)
        else:
            yield _Server(uri.rstrip("/"), model, timeout_s)
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


@contextmanager
def _file(path: str, timeout_s: float, *, write: bool) -> Iterator[sqlite3.Connection]:
    there = f"file:{urllib.parse.quote(path)}?mode={'rw' if write else 'ro'}"
    with closing(sqlite3.connect(there, uri=True, timeout=timeout_s, isolation_level=None)) as file:
        file.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        yield file
        file.execute("COMMIT")


class _File:
    """In MLflow's SQLite file."""

    def __init__(self, file: sqlite3.Connection, model: str) -> None:
        self._file = file
        columns = {table: self._columns(table) for table in _TABLES}
        if any(columns[table] - {_WORKSPACE} != known for table, known in _TABLES.items()):
            raise Unfamiliar("tables of another form")
        #: which row of MLflow's it is: the model's name, and the workspace where there is one.
        self._which: dict[str, str] = {"name": model}
        if all(_WORKSPACE in found for found in columns.values()):
            homes = [row[0] for row in file.execute("SELECT workspace FROM registered_models WHERE name = ?", (model,))]
            if len(homes) > 1:
                raise Unfamiliar("several workspaces")
            if homes:
                self._which[_WORKSPACE] = homes[0]

    def aliases(self) -> dict[str, int]:
        return {row[0]: int(row[1]) for row in self._all("alias, version", "registered_model_aliases")}

    def head(self) -> str | None:
        return next((row[0] for row in self._all("value", "registered_model_tags", key=HEAD)), None)

    def tags(self) -> dict[int, str | None]:
        found: dict[int, str | None] = {int(row[0]): None for row in self._all("version", "model_versions")}
        kept = self._all("version, value", "model_version_tags", key=STAGE)
        return found | {int(number): value for number, value in kept}

    def point(self, alias: str, version: int | None) -> None:
        value = None if version is None else {"version": version}
        self._put("registered_model_aliases", {"alias": alias}, value)

    def tag(self, version: int, stage: str) -> None:
        self._put("model_version_tags", {"version": version, "key": STAGE}, {"value": stage})

    def witness(self, head: str) -> None:
        self._put("registered_model_tags", {"key": HEAD}, {"value": head})

    def _columns(self, table: str) -> set[str]:
        return {row[1] for row in self._file.execute(f"PRAGMA table_info({table})")}

    def _all(self, columns: str, table: str, **more: str) -> list[tuple[Any, ...]]:
        which = {**self._which, **more}
        sql = f"SELECT {columns} FROM {table} WHERE {_equal(which)}"  # noqa: S608 - names of this file
        return list(self._file.execute(sql, which))

    def _put(self, table: str, key: Mapping[str, Any], value: Mapping[str, Any] | None) -> None:
        which = {**self._which, **key}
        self._file.execute(f"DELETE FROM {table} WHERE {_equal(which)}", which)  # noqa: S608 - names of this file
        if value is not None:
            row = {**which, **value}
            names = f"({', '.join(row)}) VALUES ({', '.join(f':{name}' for name in row)})"
            self._file.execute(f"INSERT INTO {table} {names}", row)


class _Server:
    """Over MLflow's REST API 2.0."""

    def __init__(self, address: str, model: str, timeout_s: float) -> None:
        self._address = f"{address}/api/2.0/mlflow"
        self._model = model
        self._timeout_s = timeout_s

    def aliases(self) -> dict[str, int]:
        return {item["alias"]: int(item["version"]) for item in self._model_itself().get("aliases", [])}

    def head(self) -> str | None:
        return next((item["value"] for item in self._model_itself().get("tags", []) if item["key"] == HEAD), None)

    def tags(self) -> dict[int, str | None]:
        found: dict[int, str | None] = {}
        page = ""
        while True:
            asked = {"filter": f"name='{self._model}'", "max_results": str(PAGE), "page_token": page}
            answer = self._call("GET", "model-versions/search", **asked)
            for item in answer.get("model_versions", []):
                tags = {tag["key"]: tag.get("value", "") for tag in item.get("tags", [])}
                found[int(item["version"])] = tags.get(STAGE)
            page = answer.get("next_page_token", "")
            if not page:
                return found

    def point(self, alias: str, version: int | None) -> None:
        if version is None:
            self._call("DELETE", "registered-models/alias", name=self._model, alias=alias)
        else:
            self._call("POST", "registered-models/alias", name=self._model, alias=alias, version=str(version))

    def tag(self, version: int, stage: str) -> None:
        told = {"version": str(version), "key": STAGE, "value": stage}
        self._call("POST", "model-versions/set-tag", name=self._model, **told)

    def witness(self, head: str) -> None:
        self._call("POST", "registered-models/set-tag", name=self._model, key=HEAD, value=head)

    def _model_itself(self) -> dict[str, Any]:
        found: dict[str, Any] = self._call("GET", "registered-models/get", name=self._model)["registered_model"]
        return found

    def _call(self, method: str, route: str, **values: str) -> dict[str, Any]:
        url, headers, body = f"{self._address}/{route}", _credentials(os.environ), None
        if method == "GET":
            url += f"?{urllib.parse.urlencode({name: value for name, value in values.items() if value})}"
        else:
            body, headers = orjson.dumps(values), {**headers, "Content-Type": "application/json"}
        request = urllib.request.Request(url, method=method, headers=headers, data=body)  # noqa: S310 - `is_known` has looked
        with urllib.request.urlopen(request, timeout=self._timeout_s) as reply:  # noqa: S310
            answer: dict[str, Any] = orjson.loads(reply.read() or b"{}")
        return answer


def _equal(names: Iterable[str]) -> str:
    return " AND ".join(f"{name} = :{name}" for name in names)


def _credentials(environ: Mapping[str, str]) -> dict[str, str]:
    """As MLflow's own client sends them."""
    if token := environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    if user := environ.get("MLFLOW_TRACKING_USERNAME"):
        pair = f"{user}:{environ.get('MLFLOW_TRACKING_PASSWORD', '')}"
        return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
    return {}


def _shown(uri: str) -> str:
    """An address without what may stand in it of a user and a password."""
    return re.sub(r"//[^/@]*@", "//", uri).partition("?")[0]
