-- Marks of all evidence that has called a person, one a line: the same evidence calls once, even after `attention` was
-- resolved.
ALTER TABLE payments ADD COLUMN attention_raised TEXT;

-- Events about notifications that belong to no payment.
ALTER TABLE events ALTER COLUMN payment_id DROP NOT NULL;
ALTER TABLE events ALTER COLUMN sequence DROP NOT NULL;
ALTER TABLE events ADD COLUMN notification_id TEXT REFERENCES notifications (id);
ALTER TABLE events ADD COLUMN transaction_id BIGINT;
ALTER TABLE events ADD CONSTRAINT events_place CHECK ((payment_id IS NULL) = (sequence IS NULL));
ALTER TABLE events ADD CONSTRAINT events_subject CHECK (payment_id IS NOT NULL OR notification_id IS NOT NULL);
