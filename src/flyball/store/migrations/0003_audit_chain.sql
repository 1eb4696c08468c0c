-- Each entry holds the digest of the one before it; entries from before the chain are held by the first one's `previous`.
ALTER TABLE audit ADD COLUMN previous TEXT;
ALTER TABLE audit ADD COLUMN digest TEXT;

-- The chain's end as it stood when a decision was taken or an alert told: what was cut off later is missed there.
ALTER TABLE decision ADD COLUMN audit_head TEXT;
ALTER TABLE alert ADD COLUMN audit_head TEXT;
