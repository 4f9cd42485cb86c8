ALTER TABLE operations DROP COLUMN asked_until;
