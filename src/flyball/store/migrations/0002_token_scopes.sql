-- What a token may do on the data plane, and with which model.
ALTER TABLE token ADD COLUMN scopes TEXT NOT NULL DEFAULT '';  -- words of predict, outcomes
ALTER TABLE token ADD COLUMN model TEXT;                       -- NULL: every model
