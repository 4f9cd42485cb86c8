DROP TRIGGER events_to_seal ON events;
DROP FUNCTION queue_event_for_seal;
DELETE FROM history_unsealed WHERE sequence = 0;
DROP INDEX events_row;
