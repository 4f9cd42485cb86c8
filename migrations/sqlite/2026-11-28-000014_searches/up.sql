-- A search by account tells that somebody has payments: it is recorded like a reading. SQLite changes no constraint in
-- place, so the table is built anew.
CREATE TABLE personal_data_access_new (
    id TEXT PRIMARY KEY NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('export', 'payment', 'search')),
    api_key_id TEXT NOT NULL,
    request_id TEXT,
    payer_key_id TEXT,
    payment_id TEXT,
    at TIMESTAMP NOT NULL
);
INSERT INTO personal_data_access_new (id, action, api_key_id, request_id, payer_key_id, payment_id, at)
SELECT id, action, api_key_id, request_id, payer_key_id, payment_id, at FROM personal_data_access;
DROP TABLE personal_data_access;
ALTER TABLE personal_data_access_new RENAME TO personal_data_access;
CREATE TRIGGER personal_data_access_no_update BEFORE UPDATE ON personal_data_access BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
CREATE TRIGGER personal_data_access_no_delete BEFORE DELETE ON personal_data_access WHEN NOT EXISTS (SELECT 1 FROM personal_data_access_ended WHERE up_to >= OLD.id) BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
CREATE TRIGGER personal_data_access_no_replace BEFORE INSERT ON personal_data_access WHEN EXISTS (SELECT 1 FROM personal_data_access WHERE id = NEW.id) BEGIN SELECT RAISE(ABORT, 'personal_data_access are not replaced: the row must be unique'); END;
