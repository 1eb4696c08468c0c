"""One leader at a time: a row that its holder renews and anybody may take once it has run out."""

from __future__ import annotations

from datetime import datetime, timedelta

from flyball.store.clock import stamp
from flyball.store.database import Database


def hold(database: Database, name: str, holder: str, *, now: datetime, for_s: float) -> bool:
    """Take or renew the lease until `now` + `for_s`; False while somebody else's has not run out."""
    with database.write() as tx:
        return bool(
            tx.run(
                "INSERT INTO lease (name, holder, expires_at) VALUES (:name, :holder, :until)"
                " ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at"
                " WHERE lease.holder = excluded.holder OR lease.expires_at <= :now",
                name=name,
                holder=holder,
                until=stamp(now + timedelta(seconds=for_s)),
                now=stamp(now),
            )
        )


def let_go(database: Database, name: str, holder: str) -> None:
    """Give the lease up, so that the next need not wait."""
    with database.write() as tx:
        tx.run("DELETE FROM lease WHERE name = :name AND holder = :holder", name=name, holder=holder)


def holder_of(database: Database, name: str, *, now: datetime) -> str | None:
    """Who leads; None when nobody does."""
    row = database.one("SELECT holder FROM lease WHERE name = :name AND expires_at > :now", name=name, now=stamp(now))
    return None if row is None else str(row["holder"])
