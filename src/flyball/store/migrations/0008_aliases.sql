-- Names that people give to versions, besides the stages.
CREATE TABLE alias (
  model TEXT NOT NULL,
  name TEXT NOT NULL,
  version INTEGER NOT NULL,
  at TEXT NOT NULL,
  who TEXT NOT NULL,
  why TEXT NOT NULL,
  PRIMARY KEY (model, name)
);
