-- One message to one channel: what became of it, and when it is tried next.
CREATE TABLE delivery (
  event INTEGER NOT NULL,             -- outbox.id
  channel TEXT NOT NULL,
  model TEXT NOT NULL,
  alert_key TEXT NOT NULL,            -- the alert's, of all its messages
  status TEXT NOT NULL,               -- waiting | sending | delivered | refused | silenced
  attempts INTEGER NOT NULL,
  next_at TEXT NOT NULL,              -- not before; while sending: when it counts as cut off
  batch INTEGER,                      -- events of one batch go out as one message, and are repeated as one
  delivered_at TEXT,
  error TEXT,
  maybe_double INTEGER NOT NULL,      -- how often the sender died between sending and writing that down
  process TEXT,                       -- who was refused: another process may have another configuration
  PRIMARY KEY (event, channel)
);
CREATE INDEX delivery_open ON delivery (model, status);

-- Alerts that nobody wants to hear of for a while.
CREATE TABLE silence (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  model TEXT NOT NULL,                -- '' = every model
  name TEXT NOT NULL,                 -- '' = every alert
  since TEXT NOT NULL,
  until TEXT NOT NULL,
  who TEXT NOT NULL,
  why TEXT NOT NULL,
  lifted_at TEXT
);

ALTER TABLE alert ADD COLUMN acked_at TEXT;
ALTER TABLE alert ADD COLUMN acked_by TEXT;
