-- What keeps Flyball from acting by itself: a freeze, or the hold that a rollback leaves.
CREATE TABLE hold (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  model TEXT NOT NULL,                -- '' = every model
  kind TEXT NOT NULL,                 -- freeze | rollback
  since TEXT NOT NULL,
  until TEXT,                         -- NULL = until it is lifted
  who TEXT NOT NULL,
  why TEXT NOT NULL,
  lifted_at TEXT
);

-- Versions that may not answer again until somebody says so.
CREATE TABLE bar (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  model TEXT NOT NULL,
  version INTEGER NOT NULL,
  since TEXT NOT NULL,
  who TEXT NOT NULL,
  why TEXT NOT NULL,
  lifted_at TEXT
);
