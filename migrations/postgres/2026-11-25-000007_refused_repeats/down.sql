ALTER TABLE idempotency_keys DROP COLUMN endpoint;
ALTER TABLE operations DROP COLUMN refused_at;
