-- Times are aware UTC text (store.clock.stamp). `at` is decision time, `recorded_at` the wall clock of the writing.

CREATE TABLE project (
  name TEXT PRIMARY KEY,
  directory TEXT NOT NULL,
  added_at TEXT NOT NULL
);

-- A pipeline run and its steps.
CREATE TABLE run (
  id TEXT PRIMARY KEY,
  project TEXT NOT NULL,
  model TEXT NOT NULL,
  reason TEXT NOT NULL,              -- schedule | drift | performance | volume | manual | first
  why TEXT NOT NULL,
  decided_at TEXT NOT NULL,          -- the run's `now`: nothing known later may enter it
  window_start TEXT,
  window_end TEXT NOT NULL,
  params TEXT NOT NULL,              -- JSON
  seed INTEGER NOT NULL,
  status TEXT NOT NULL,              -- running | failed | refused | released
  owner TEXT NOT NULL,               -- host:pid of who executes it
  recorded_at TEXT NOT NULL,
  finished_at TEXT,
  version INTEGER,                   -- what it registered
  error TEXT
);
CREATE INDEX run_by_model ON run (model, decided_at);

CREATE TABLE step (
  run TEXT NOT NULL REFERENCES run (id),
  name TEXT NOT NULL,
  status TEXT NOT NULL,              -- running | done | failed
  attempts INTEGER NOT NULL,
  recorded_at TEXT NOT NULL,
  seconds REAL,
  artifact TEXT,                     -- JSON: kind, path, sha256, rows
  error TEXT,
  PRIMARY KEY (run, name)
);

-- Versions. The row is written once; only `stage` moves.
CREATE TABLE version (
  model TEXT NOT NULL,
  number INTEGER NOT NULL,
  label TEXT NOT NULL,
  run TEXT NOT NULL UNIQUE,
  stage TEXT NOT NULL,               -- none | staging | shadow | production | archived
  created_at TEXT NOT NULL,
  recorded_at TEXT NOT NULL,
  record TEXT NOT NULL,              -- JSON of registry.Version
  PRIMARY KEY (model, number)
);

-- Live history: what answered, from when. Append-only; the newest row of a model is what workers serve.
CREATE TABLE deployment (
  generation INTEGER PRIMARY KEY AUTOINCREMENT,
  model TEXT NOT NULL,
  at TEXT NOT NULL,
  recorded_at TEXT NOT NULL,
  live INTEGER NOT NULL,
  record TEXT NOT NULL,              -- JSON of registry.Deployment
  who TEXT NOT NULL,
  why TEXT NOT NULL
);
CREATE INDEX deployment_by_model ON deployment (model, at);

-- Every decision with its evidence, the ones to do nothing too.
CREATE TABLE decision (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  model TEXT NOT NULL,
  at TEXT NOT NULL,
  recorded_at TEXT NOT NULL,
  kind TEXT NOT NULL,                -- gate | retrain | rollout | drift | performance
  subject TEXT NOT NULL,             -- v7, a run, a day
  verdict TEXT NOT NULL,
  reason TEXT NOT NULL,
  evidence TEXT NOT NULL,            -- JSON
  dedup TEXT NOT NULL UNIQUE
);
CREATE INDEX decision_by_model ON decision (model, at);

CREATE TABLE audit (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at TEXT NOT NULL,
  recorded_at TEXT NOT NULL,
  who TEXT NOT NULL,
  act TEXT NOT NULL,
  model TEXT NOT NULL,
  was TEXT,
  becomes TEXT,
  why TEXT NOT NULL
);

CREATE TABLE rollout (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  model TEXT NOT NULL,
  candidate INTEGER NOT NULL,
  champion INTEGER,
  status TEXT NOT NULL,              -- shadow | full | aborted
  started_at TEXT NOT NULL,
  moved_at TEXT NOT NULL,
  UNIQUE (model, candidate)
);

-- A monitored window (a day, usually) and its daily metrics.
CREATE TABLE window (
  model TEXT NOT NULL,
  kind TEXT NOT NULL,                -- drift | performance
  start TEXT NOT NULL,
  ends TEXT NOT NULL,
  version INTEGER NOT NULL,
  verdict TEXT NOT NULL,             -- steady | drift | cannot_judge; for performance: kept | below | immature
  rows INTEGER NOT NULL,
  recorded_at TEXT NOT NULL,
  evidence TEXT NOT NULL,            -- JSON
  PRIMARY KEY (model, kind, start)
);

CREATE TABLE metrics_daily (
  model TEXT NOT NULL,
  version INTEGER NOT NULL,
  variant TEXT NOT NULL,
  date TEXT NOT NULL,
  metric TEXT NOT NULL,
  value REAL,
  low REAL,
  high REAL,
  rows INTEGER NOT NULL,
  PRIMARY KEY (model, version, variant, date, metric)
);

CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at TEXT NOT NULL,
  kind TEXT NOT NULL,
  payload TEXT NOT NULL,
  dedup TEXT NOT NULL UNIQUE,
  attempts INTEGER NOT NULL DEFAULT 0,
  done_at TEXT,
  error TEXT
);

CREATE TABLE alert (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  model TEXT NOT NULL,
  name TEXT NOT NULL,                -- drift | performance | run_failed | ...
  severity TEXT NOT NULL,            -- info | warning | critical
  since TEXT NOT NULL,
  resolved_at TEXT,
  title TEXT NOT NULL,
  evidence TEXT NOT NULL             -- JSON
);
CREATE UNIQUE INDEX alert_open ON alert (model, name) WHERE resolved_at IS NULL;

CREATE TABLE lease (
  name TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  expires_at TEXT NOT NULL           -- wall clock
);

-- How far each journal segment has been carried into the lake, and the batch being carried.
CREATE TABLE segment (
  name TEXT PRIMARY KEY,
  carried_bytes INTEGER NOT NULL
);
CREATE TABLE lake_batch (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  plan TEXT NOT NULL,                -- JSON: segment -> [from, to)
  done_at TEXT
);

CREATE TABLE token (
  name TEXT PRIMARY KEY,
  role TEXT NOT NULL,                -- viewer | operator | admin
  digest TEXT NOT NULL UNIQUE,       -- SHA-256; the token itself is nowhere
  created_at TEXT NOT NULL
);
