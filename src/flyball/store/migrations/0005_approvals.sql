-- Who wanted a run: the governor, or a person.
ALTER TABLE run ADD COLUMN requested_by TEXT NOT NULL DEFAULT 'flyball';

-- Versions that passed their gate and wait for a person.
CREATE TABLE approval (
  model TEXT NOT NULL,
  version INTEGER NOT NULL,
  requested_by TEXT NOT NULL,         -- names with ", " between
  requested_at TEXT NOT NULL,
  expires_at TEXT NOT NULL,
  status TEXT NOT NULL,               -- waiting | approved | expired | superseded
  decided_by TEXT,
  decided_at TEXT,
  why TEXT NOT NULL,                  -- the gate's words, later the approver's
  rollout TEXT NOT NULL,              -- JSON: strategy, on_new, columns, as the project said when it passed
  PRIMARY KEY (model, version)
);
