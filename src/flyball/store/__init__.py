"""Where things lie: the home folder, the database, time, identifiers, the outbox of events."""

from flyball.store.clock import moment, stamp, utcnow
from flyball.store.database import Database, Row, Transaction, open_database
from flyball.store.files import read_json, replace_file, sha256_file, write_json
from flyball.store.home import Home, find_home
from flyball.store.ids import new_id
from flyball.store.outbox import Event, emit

__all__ = [
    "Database",
    "Event",
    "Home",
    "Row",
    "Transaction",
    "emit",
    "find_home",
    "moment",
    "new_id",
    "open_database",
    "read_json",
    "replace_file",
    "sha256_file",
    "stamp",
    "utcnow",
    "write_json",
]
