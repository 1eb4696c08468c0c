"""A home with its database, and writers of known lines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from flyball.journal.carry import carry
from flyball.journal.layout import lake_files
from flyball.journal.line import encode_outcomes, encode_predictions
from flyball.journal.segment import Segment
from flyball.store import Database, Home, open_database, stamp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY = datetime(2013, 3, 1, tzinfo=UTC)


def hour(n: float) -> datetime:
    """So many hours after the beginning of DAY."""
    return DAY + timedelta(hours=n)


class Journal:
    """One home, one writer, and the carrier."""

    def __init__(self, home: Home, database: Database) -> None:
        self.home = home
        self.database = database
        self.segment = Segment(home.journal, "test")

    def predict(self, *ids: str, at: datetime = DAY, received_at: datetime | None = None, **changes: Any) -> bytes:
        """Append one request of one row per id; the line that was written."""
        values: dict[str, Any] = {
            "model": "flights",
            "version": 1,
            "variant": "v1",
            "role": "live",
            "source": "http",
            "generation": 1,
            "request_id": "r",
            "ids": ids,
            "timestamp": stamp(at),
            "received_at": stamp(received_at or at),
            "latency_ms": 0.5,
            "key": None,
            "features": {"x": [1.0] * len(ids)},
            "prediction": [0.5] * len(ids),
            "score": [0.5] * len(ids),
        }
        line = encode_predictions(**(values | changes))
        assert self.segment.append(line)
        return line

    def files(self) -> set[str]:
        """What the lake holds of the model's predictions and outcomes."""
        return {*lake_files(self.home, "predictions", "flights"), *lake_files(self.home, "outcomes", "flights")}

    def tell(self, *outcomes: dict[str, Any], received_at: datetime = DAY, model: str = "flights") -> None:
        """Append one request of outcomes called `label`; ids of their own are made up."""
        rows = []
        for outcome in outcomes:
            at = {"timestamp": stamp(outcome["timestamp"])} if "timestamp" in outcome else {}
            self.told = getattr(self, "told", 0) + 1
            rows.append({"outcome_id": f"o{self.told}", "name": "label", **outcome, **at})
        assert self.segment.append(encode_outcomes(model=model, received_at=stamp(received_at), outcomes=rows))

    def carry(self, **options: Any) -> Any:
        return carry(self.home, self.database, now=DAY, **options)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A folder's name that SQL and globbing could trip over."""
    return Home(tmp_path / "it's [a] home").made()


@pytest.fixture
def journal(home: Home) -> Iterator[Journal]:
    database = open_database(home)
    made = Journal(home, database)
    yield made
    made.segment.close()
    database.close()
