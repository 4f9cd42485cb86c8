DROP TRIGGER events_to_seal;
DELETE FROM history_unsealed WHERE sequence = 0;
DROP INDEX events_row;
