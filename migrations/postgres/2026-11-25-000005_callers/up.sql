-- A key can be succeeded by another one while it still works for a time (`keys rotate`).
-- The first key of the line that this key belongs to; NULL: itself. Idempotency keys (idempotency_keys.api_key_id) and
-- payments (payments.created_by) belong to the line, so that a successor meets what its predecessors did.
ALTER TABLE api_keys ADD COLUMN lineage TEXT REFERENCES api_keys (id);
-- When it was succeeded; expires_at is then the end of the overlap.
ALTER TABLE api_keys ADD COLUMN rotated_at TIMESTAMP CHECK (rotated_at IS NULL OR expires_at IS NOT NULL);
ALTER TABLE api_keys ADD COLUMN successor_id TEXT REFERENCES api_keys (id) CHECK ((successor_id IS NULL) = (rotated_at IS NULL));
-- To the minute.
ALTER TABLE api_keys ADD COLUMN last_used_at TIMESTAMP;
