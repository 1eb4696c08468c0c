"""What every route needs: where things lie, who asks, and what time it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request

from flyball.registry.tokens import Principal
from flyball.store import Database, Home


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One home's dashboard."""

    home: Home
    database: Database
    #: address of the data plane, for the examples on the pages; None = not known.
    serve_url: str | None
    clock: Callable[[], datetime]


def _place(request: Request) -> Place:
    place: Place = request.app.state.place
    return place


def _who(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


Here = Annotated[Place, Depends(_place)]
Who = Annotated[Principal, Depends(_who)]
