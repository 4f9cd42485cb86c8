-- Events that tell what somebody did to something that belongs to no payment: the key or the discrepancy, and the actor.
ALTER TABLE events ADD COLUMN subject_id TEXT;
ALTER TABLE events ADD COLUMN actor TEXT;
ALTER TABLE events DROP CONSTRAINT events_subject;
ALTER TABLE events ADD CONSTRAINT events_subject CHECK (payment_id IS NOT NULL OR notification_id IS NOT NULL OR subject_id IS NOT NULL);
ALTER TABLE events ADD CONSTRAINT events_act CHECK ((subject_id IS NULL) = (actor IS NULL) AND (subject_id IS NULL OR payment_id IS NULL));
