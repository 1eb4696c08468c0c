-- How a step's result is made, so that it may stand in for a later run's; and whose result stands in for this one's.
ALTER TABLE step ADD COLUMN recipe TEXT;        -- NULL: nobody can tell
ALTER TABLE step ADD COLUMN fallback_run TEXT;  -- the run that made it; NULL: this one did
