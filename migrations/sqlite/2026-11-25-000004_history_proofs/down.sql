DROP TRIGGER notifications_no_delete;
DROP TRIGGER transactions_no_delete;
DROP TRIGGER transitions_to_seal;
DROP TABLE history_leaves;
DROP TABLE history_seals;
DROP TABLE history_unsealed;
