"""A small client of the data plane: one kept-alive connection, safe retries, errors that repeat what the server said."""

from __future__ import annotations

import http.client
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

import orjson

from flyball.errors import FlyballError, Mistake, Unavailable
from flyball.store.clock import stamp

#: how long a request that may be repeated safely is repeated while the server cannot be reached.
PATIENCE_S = 15.0


class Rejected(FlyballError):
    """The server understood the request and said no; `status` and `problem` (RFC 9457) say why."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {problem.get('title', '')}: {problem.get('detail', '')}".rstrip(": "))
        self.status = status
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the server answered to a `predict`."""

    model: str
    version: int
    variant: str
    #: binary: probability of the positive class; multiclass: class; regression: value. One a row.
    predictions: list[Any]
    #: one a row; what outcomes are posted against.
    ids: list[str]


class Client:
    """`Client("http://127.0.0.1:8080")`. Not for several threads at once; make one each.

    timeout_s: how long one try may take. token: sent as `Authorization: Bearer`.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Mistake(f"{url!r} is not a server address; write for example http://127.0.0.1:8080")
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, parts.port, timeout=timeout_s)
        self._base = parts.path.rstrip("/")
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self.url = url

    def predict(
        self,
        model: str,
        inputs: Sequence[Mapping[str, Any]] | Mapping[str, Any],
        *,
        key: str | Sequence[str] | None = None,
        timestamp: datetime | Sequence[datetime] | None = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Predictions for rows (`[{feature: value}, ...]`) or columns (`{"columns": [...], "data": [[...]]}`).

        With an `idempotency_key` a lost connection is retried, and the lake keeps one prediction a row however often.
        Raises Rejected (422: which row and column), Unavailable.
        """
        body: dict[str, Any] = {"inputs": inputs}
        if key is not None:
            body["key"] = key
        if timestamp is not None:
            body["timestamp"] = stamp(timestamp) if isinstance(timestamp, datetime) else [stamp(at) for at in timestamp]
        value = self._post(f"/models/{quote(model)}/predict", body, idempotency_key)
        return Answer(**{name: value[name] for name in ("model", "version", "variant", "predictions", "ids")})

    def outcomes(self, model: str, outcomes: Sequence[Mapping[str, Any]], *, idempotency_key: str | None = None) -> int:
        """Post `[{"id" or "key", "value", "name"?, "timestamp"?}]`; how many were taken."""
        rows = [
            {**row, "timestamp": stamp(row["timestamp"])} if isinstance(row.get("timestamp"), datetime) else row
            for row in outcomes
        ]
        self._post(f"/models/{quote(model)}/outcomes", {"outcomes": rows}, idempotency_key)
        return len(rows)

    def outcome(self, model: str, value: float | str | bool, *, id: str | None = None, key: str | None = None) -> None:  # noqa: A002
        """Post one outcome by prediction id or by entity key."""
        if (id is None) == (key is None):
            raise Mistake("outcome(): give exactly one of id= and key=")
        self.outcomes(model, [{"id": id, "value": value} if id is not None else {"key": key, "value": value}])

    def get(self, path: str) -> Any:
        """The JSON answer of a GET, for example `/readyz`; any status."""
        return self._send("GET", path, None, {}, repeat=True)[1]

    def wait_until_alive(self) -> None:
        """Return once the server answers; raises Unavailable after 15 s."""
        self._send("GET", "/livez", None, {}, repeat=True)

    def close(self) -> None:
        self._connection.close()

    def _post(self, path: str, body: Mapping[str, Any], idempotency_key: str | None) -> dict[str, Any]:
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        data = orjson.dumps(body, _as_text, orjson.OPT_SERIALIZE_NUMPY)
        status, value = self._send("POST", path, data, headers, repeat=idempotency_key is not None)
        if status >= 400:
            raise Rejected(status, value if isinstance(value, dict) else {})
        return value if isinstance(value, dict) else {}

    def _send(
        self, method: str, path: str, data: bytes | None, headers: Mapping[str, str], *, repeat: bool
    ) -> tuple[int, Any]:
        """One exchange; repeated on a lost connection and on 503 only when a repetition changes nothing."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                self._connection.request(method, self._base + path, data, {**self._headers, **headers})
                response = self._connection.getresponse()
                content = response.read()
            except (OSError, http.client.HTTPException) as error:
                self._connection.close()
                if not repeat or time.monotonic() > deadline:
                    raise Unavailable(f"{self.url} does not answer: {error or type(error).__name__}") from error
                time.sleep(0.05)
                continue
            if response.status == 503 and method == "POST" and repeat and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            return response.status, _parsed(content)


def _as_text(value: Any) -> str | None:
    """A pandas.Timestamp, which orjson does not know for the datetime it is; NaT is null."""
    if isinstance(value, datetime):
        return value.isoformat() if value == value else None
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _parsed(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        return content.decode(errors="replace")
