ALTER TABLE events DROP CONSTRAINT events_subject;
ALTER TABLE events DROP CONSTRAINT events_place;
ALTER TABLE events DISABLE TRIGGER events_no_update;
DELETE FROM events WHERE payment_id IS NULL;
ALTER TABLE events ENABLE TRIGGER events_no_update;
ALTER TABLE events DROP COLUMN transaction_id;
ALTER TABLE events DROP COLUMN notification_id;
ALTER TABLE events ALTER COLUMN sequence SET NOT NULL;
ALTER TABLE events ALTER COLUMN payment_id SET NOT NULL;

ALTER TABLE payments DROP COLUMN attention_raised;
