"""The door: which host names, which tokens, which role, and the headers every answer carries. Nothing passes undecided.

A token comes as `Authorization: Bearer`, as this server's cookie, or once as `?token=`, which becomes the cookie.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse

from flyball.dashboard.answers import refusal
from flyball.registry.tokens import Principal, principal_of
from flyball.store import Database

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

#: answered to anybody: a probe learns that the process lives, and the page that asks for a token needs its style.
OPEN = ("/livez", "/readyz")
OPEN_FOLDER = "/static/"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
COOKIE_AGE_S = 30 * 24 * 3600

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Access:
    """ASGI middleware around the whole application. `hosts` None: any Host header (bound to a public address)."""

    def __init__(self, app: App, *, database: Database, hosts: frozenset[str] | None) -> None:
        self.app = app
        self.database = database
        self.hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = self._decide(scope, Headers(scope=scope)) or self.app
        await answer(scope, receive, _with_headers(send))

    def _decide(self, scope: Scope, headers: Headers) -> App | None:
        """The refusal or redirect to answer with; None lets the request through, its principal noted in the scope."""
        path = scope["path"]
        if self.hosts is not None and host_name(headers.get("host", "")) not in self.hosts:
            return refusal(path, 421, "Unknown host", "This address answers to localhost only; ask it by that name.")
        if path in OPEN or path.startswith(OPEN_FOLDER):
            return None
        # Reading the tokens is one look into a local file, which no writer blocks: cheaper than a thread.
        offered, source = self._offered(scope, headers)
        principal = principal_of(self.database, offered) if offered else None
        if principal is None:
            return refusal(path, 401, "Who is there?", "This needs a token that is known here.")
        if source == "query":
            return _welcome(scope, offered)
        if not _opens(principal, path):
            there = f"/models/{principal.model}" if principal.model and principal.role != "client" else "the data plane"
            return refusal(
                path, 403, "Not with this token", f"Token {principal.name!r} opens {there} and nothing here."
            )
        scope.setdefault("state", {})["principal"] = principal
        return self._may(scope, headers, principal, source)

    def _offered(self, scope: Scope, headers: Headers) -> tuple[str, str]:
        """The token and where it came from."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return token.strip(), "bearer"
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        if "token" in query and scope["method"] == "GET":
            return query["token"].strip(), "query"
        return _cookie(headers.get("cookie", ""), cookie_name(scope)), "cookie"

    def _may(self, scope: Scope, headers: Headers, principal: Principal, source: str) -> App | None:
        if scope["method"] in SAFE_METHODS:
            return None
        if not principal.may_act:
            detail = f"Token {principal.name!r} has the role {principal.role}; acting needs operator or admin."
            return refusal(scope["path"], 403, "Looking only", detail)
        if source == "cookie" and not _same_origin(headers):
            detail = "A browser asked this from another site's page. Use the dashboard's own, or a bearer token."
            return refusal(scope["path"], 403, "Asked from elsewhere", detail)
        return None


def _opens(principal: Principal, path: str) -> bool:
    """Whether the token is for this path at all: a client's for none here, a model's for that model's pages."""
    if principal.role == "client":
        return False
    return principal.model is None or path.removeprefix("/api").split("/")[1:3] == ["models", principal.model]


def host_name(host: str) -> str:
    """The name in a Host header, without port and brackets, lower case; "" when there is none."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def cookie_name(scope: Scope) -> str:
    """One per port: browsers keep one jar for all ports of a host, and two fleets may run on one machine."""
    server = scope.get("server")
    return f"flyball_{server[1] if server else 0}"


def _same_origin(headers: Headers) -> bool:
    """Browsers say where a request comes from (Fetch Metadata); older ones send Origin with every POST."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == headers.get("host")


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


def _welcome(scope: Scope, token: str) -> App:
    """The same address without the token, which the browser keeps from now on where no script can read it."""
    rest = [pair for pair in parse_qsl(scope["query_string"].decode("latin-1")) if pair[0] != "token"]
    # Exactly one slash at the start: `//elsewhere` would be another host.
    address = "/" + quote(scope["path"].lstrip("/")) + (f"?{urlencode(rest)}" if rest else "")
    response = RedirectResponse(address, 303)
    response.set_cookie(
        cookie_name(scope),
        token,
        max_age=COOKIE_AGE_S,
        httponly=True,
        samesite="strict",
        secure=scope.get("scheme") == "https",
    )
    return response


def _with_headers(send: Send) -> Send:
    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return sending
