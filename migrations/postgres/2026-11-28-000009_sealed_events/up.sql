-- Events are sealed with the row of the history that they tell of: see docs/history-proofs.md.
CREATE INDEX events_row ON events (payment_id, sequence);

-- An event that belongs to no payment is sealed by itself. In history_unsealed and history_leaves it stands with its id as
-- payment_id and with 0 as sequence, which no row of the history has.
CREATE FUNCTION queue_event_for_seal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO history_unsealed (payment_id, sequence) VALUES (NEW.id, 0); RETURN NULL; END $$;
CREATE TRIGGER events_to_seal AFTER INSERT ON events FOR EACH ROW WHEN (NEW.payment_id IS NULL) EXECUTE FUNCTION queue_event_for_seal();

-- Those that were recorded before are sealed by the first steps.
INSERT INTO history_unsealed (payment_id, sequence) SELECT e.id, 0 FROM events e WHERE e.payment_id IS NULL
AND NOT EXISTS (SELECT 1 FROM history_leaves l WHERE l.payment_id = e.id);
