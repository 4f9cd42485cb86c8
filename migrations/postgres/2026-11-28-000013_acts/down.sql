ALTER TABLE events DROP CONSTRAINT events_act;
ALTER TABLE events DROP CONSTRAINT events_subject;
ALTER TABLE events DISABLE TRIGGER events_no_update;
DELETE FROM history_unsealed WHERE sequence = 0 AND payment_id IN (SELECT id FROM events WHERE subject_id IS NOT NULL);
DELETE FROM events WHERE subject_id IS NOT NULL;
ALTER TABLE events ENABLE TRIGGER events_no_update;
ALTER TABLE events ADD CONSTRAINT events_subject CHECK (payment_id IS NOT NULL OR notification_id IS NOT NULL);
ALTER TABLE events DROP COLUMN actor;
ALTER TABLE events DROP COLUMN subject_id;
