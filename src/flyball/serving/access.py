"""Who may ask the data plane: nobody is asked on loopback; elsewhere a bearer token of the right scope and model.

Tokens travel in the clear unless a proxy in front speaks TLS: the workers themselves do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from flyball.registry.tokens import Grant, Scope, digest_of
from flyball.serving.problem import Problem
from flyball.store import Home, read_json, write_json

if TYPE_CHECKING:
    from flyball.serving.requests import Headers

KEPT_FORMAT = 1
_BEARER = b"bearer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What is asked of whom at one moment; replaced whole when a token is made or revoked."""

    #: whether other machines can reach the workers.
    public: bool = False
    #: model -> its `[serving] auth`, "none" or "token"; models that leave it to the address are not here.
    auth: Mapping[str, str] = field(default_factory=dict)
    #: by digest.
    grants: Mapping[str, Grant] = field(default_factory=dict)

    def asks(self, scope: Scope, model: str) -> bool:
        """Whether a request needs a token. `auth = "none"` opens predictions only: an outcome can move what is live."""
        said = self.auth.get(model)
        if said == "token":
            return True
        return self.public and (scope == "outcomes" or said is None)

    @property
    def guarded(self) -> bool:
        """Whether anybody is asked for a token anywhere."""
        return self.public or "token" in self.auth.values()

    def opens(self, headers: Headers, scope: Scope, model: str) -> bool:
        """Whether a request would pass `check`."""
        return not self.asks(scope, model) or self.refusal(headers, scope, model) is None

    def check(self, headers: Headers, scope: Scope, model: str) -> None:
        """Let pass, or raise `Problem`: 401 for a token that is missing or unknown, 403 for one that opens something else."""
        problem = self.refusal(headers, scope, model) if self.asks(scope, model) else None
        if problem is not None:
            raise problem

    def refusal(self, headers: Headers, scope: Scope, model: str) -> Problem | None:
        """Why a request's token does not do; None where it does.

        A digest is looked up, not the token: how long that takes tells of digests, which lead to no token.
        """
        kind, _, token = headers.get(b"authorization", b"").partition(b" ")
        grant = self.grants.get(digest_of(token.strip())) if kind.lower() == _BEARER else None
        if grant is None:
            detail = f"{scope} of {model} needs a token that is known here: Authorization: Bearer TOKEN"
            return Problem("unauthorized", detail, headers=[(b"www-authenticate", b'Bearer realm="flyball"')])
        if scope not in grant.scopes or grant.model not in (None, model):
            return Problem(
                "forbidden",
                f"this token does not open {scope} of {model}; `flyball token create NAME --scope {scope}` makes one",
                headers=[(b"www-authenticate", b'Bearer error="insufficient_scope", scope="%b"' % scope.encode())],
            )
        return None


def by_digest(grants: Iterable[Grant]) -> dict[str, Grant]:
    """As a `Door` wants them."""
    return {grant.digest: grant for grant in grants}


def kept_grants(home: Home) -> tuple[Grant, ...]:
    """The tokens that were last known in this home; none where they cannot be read: then nobody with a token passes."""
    try:
        value = read_json(_path(home))
        items = value["tokens"] if value["format"] == KEPT_FORMAT else []
        return tuple(Grant(**{**item, "scopes": tuple(item["scopes"])}) for item in items)
    except (OSError, ValueError, KeyError, TypeError):
        return ()


def keep_grants(home: Home, grants: Iterable[Grant]) -> None:
    """Keep digests for a start without the database. A full disk is no reason not to serve."""
    found = tuple(grants)
    if found == kept_grants(home):
        return
    try:
        write_json(_path(home), {"format": KEPT_FORMAT, "tokens": [asdict(item) for item in found]})
    except OSError:
        # A revoked token must not come back with the next start.
        _path(home).unlink(missing_ok=True)


def _path(home: Home) -> Path:
    return home.serving / "tokens.json"
