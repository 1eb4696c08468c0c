"""Both databases: what holds for the file holds for the server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from flyball.store.database import DATABASE_URL
from tests.integration.postgres import Server, running, why_not


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A real server; where there can be none, whoever asks for it is skipped with the reason."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with running() as server:
        yield server


@pytest.fixture
def own() -> Iterator[Server]:
    """One that the test may stop and start."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with running() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def environ(request: pytest.FixtureRequest) -> Mapping[str, str]:
    """An environment that names no database (the home's file), then one that names an empty PostgreSQL."""
    if request.param == "sqlite":
        return {}
    return {DATABASE_URL: request.getfixturevalue("postgres").new_database()}
