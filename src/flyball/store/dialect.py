"""From the SQL that is written in the rooms to PostgreSQL's. SQLite takes it as it stands."""

from __future__ import annotations

import re
from functools import lru_cache

#: quoted text, comments and casts stand as they are; `:name` is a parameter; a bare % would be one to psycopg.
_PARTS = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|::|:([A-Za-z_]\w*)|%""")

_TABLE = re.compile(r"CREATE TABLE (\w+)")

_WORDS = {
    "INTEGER": "BIGINT",
    "REAL": "DOUBLE PRECISION",
    # Texts sort and compare by their bytes, as SQLite's do, whatever language the server speaks.
    "TEXT": 'TEXT COLLATE "C"',
}

#: What SQLite has of itself, made before the first migration. Keys are counted in a table, as AUTOINCREMENT counts them,
#: for a sequence of PostgreSQL's would also count what was rolled back: the audit would miss entries nobody wrote.
GROUND = """
CREATE TABLE IF NOT EXISTS schema_version (number BIGINT NOT NULL);
CREATE TABLE IF NOT EXISTS numbering (name TEXT PRIMARY KEY, seq BIGINT NOT NULL);
CREATE OR REPLACE FUNCTION next_number(of_table TEXT) RETURNS BIGINT LANGUAGE sql VOLATILE AS $$
  INSERT INTO numbering (name, seq) VALUES (of_table, 1)
  ON CONFLICT (name) DO UPDATE SET seq = numbering.seq + 1 RETURNING seq
$$;
"""


@lru_cache(maxsize=512)
def placeholders(sql: str) -> str:
    """The statement with `%(name)s` for `:name`.

    >>> placeholders("SELECT 'at 10:30', x::text FROM t WHERE a = :a AND b LIKE '5 %'")
    "SELECT 'at 10:30', x::text FROM t WHERE a = %(a)s AND b LIKE '5 %%'"
    """
    return _PARTS.sub(lambda part: f"%({part[1]})s" if part[1] else part[0].replace("%", "%%"), sql)


def schema(statement: str) -> str:
    """A migration's statement in PostgreSQL's words.

    >>> print(schema("CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, share REAL)"))
    CREATE TABLE "t" (id BIGINT PRIMARY KEY DEFAULT next_number('t'), share DOUBLE PRECISION)
    """
    words = re.sub(r"--[^\n]*", "", statement)
    words = re.sub(r"\b(INTEGER|REAL|TEXT)\b", lambda word: _WORDS[word[0]], words)
    table = _TABLE.search(words)
    if table is None:
        return words
    words = words.replace("PRIMARY KEY AUTOINCREMENT", f"PRIMARY KEY DEFAULT next_number('{table[1]}')")
    words = words.replace(table[0], f'CREATE TABLE "{table[1]}"')  # `window` is a word of PostgreSQL's own
    if table[1] == "step":  # the only table whose order of writing is asked for: SQLite's rowid
        words = words.replace("(", "(\n  rowid BIGINT GENERATED ALWAYS AS IDENTITY,", 1)
    return words
