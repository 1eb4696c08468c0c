-- Daily metrics of slices, of business outcomes and of estimates beside those of labels; and whether they are final.
ALTER TABLE metrics_daily RENAME TO metrics_daily_before;
CREATE TABLE metrics_daily (
  model TEXT NOT NULL,
  version INTEGER NOT NULL,
  variant TEXT NOT NULL,
  date TEXT NOT NULL,                  -- the window's name: a date, or the first minute of a shorter window
  slice TEXT NOT NULL DEFAULT '',      -- COLUMN=VALUE; '' = every row
  basis TEXT NOT NULL DEFAULT 'label', -- label | outcome | estimate (made without labels)
  metric TEXT NOT NULL,                -- auc, ...; of an outcome NAME.mean and NAME.count
  value REAL,
  low REAL,
  high REAL,
  rows INTEGER NOT NULL,               -- rows that the value rests on
  answered INTEGER,                    -- rows that were answered; NULL: written before this column was
  mature INTEGER NOT NULL DEFAULT 1,   -- 0: labels may still come
  PRIMARY KEY (model, version, variant, date, slice, basis, metric)
);
INSERT INTO metrics_daily (model, version, variant, date, slice, basis, metric, value, low, high, rows, answered, mature)
  SELECT model, version, variant, date, '', 'label', metric, value, low, high, rows, NULL, 1 FROM metrics_daily_before;
DROP TABLE metrics_daily_before;

ALTER TABLE "window" ADD COLUMN mature INTEGER NOT NULL DEFAULT 1;  -- 0: labels may still come; no alarm, no signal
ALTER TABLE "window" ADD COLUMN due_at TEXT;                        -- when it is judged again; NULL: all has matured

-- The lake's files that a model's windows have been judged with: another name is news.
CREATE TABLE lake_read (
  model TEXT PRIMARY KEY,
  files TEXT NOT NULL,                 -- JSON: paths in the lake
  at TEXT NOT NULL
);
