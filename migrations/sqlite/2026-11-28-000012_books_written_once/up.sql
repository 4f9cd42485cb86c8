-- More of the books that refuses to be taken away or rewritten, also for whoever has the service's own credentials.

-- Records of readings leave by retention alone, and that they did is recorded: those with an id up to this one may be deleted.
CREATE TABLE personal_data_access_ended (
    up_to TEXT PRIMARY KEY NOT NULL,
    records BIGINT NOT NULL CHECK (records > 0),
    at TIMESTAMP NOT NULL
);

-- What is not deleted.
CREATE TRIGGER refunds_no_delete BEFORE DELETE ON refunds BEGIN SELECT RAISE(ABORT, 'refunds are not deleted'); END;
CREATE TRIGGER api_keys_no_delete BEFORE DELETE ON api_keys BEGIN SELECT RAISE(ABORT, 'api_keys are not deleted'); END;
CREATE TRIGGER personal_data_access_no_delete BEFORE DELETE ON personal_data_access WHEN NOT EXISTS (SELECT 1 FROM personal_data_access_ended WHERE up_to >= OLD.id) BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
CREATE TRIGGER personal_data_access_ended_no_update BEFORE UPDATE ON personal_data_access_ended BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
CREATE TRIGGER personal_data_access_ended_no_delete BEFORE DELETE ON personal_data_access_ended BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;

-- What is written once: columns that never change, what came about, and what was taken back.
CREATE TRIGGER payments_as_written BEFORE UPDATE ON payments WHEN NEW.id IS NOT OLD.id OR NEW.currency IS NOT OLD.currency OR NEW.amount IS NOT OLD.amount OR NEW.invoice_id IS NOT OLD.invoice_id OR NEW.capture_mode IS NOT OLD.capture_mode OR NEW.method IS NOT OLD.method OR NEW.language IS NOT OLD.language OR NEW.created_by IS NOT OLD.created_by OR NEW.created_at IS NOT OLD.created_at OR NEW.expires_at IS NOT OLD.expires_at BEGIN SELECT RAISE(ABORT, 'what payments say is written once'); END;
CREATE TRIGGER refunds_as_written BEFORE UPDATE ON refunds WHEN NEW.id IS NOT OLD.id OR NEW.payment_id IS NOT OLD.payment_id OR NEW.parent_transaction_id IS NOT OLD.parent_transaction_id OR NEW.currency IS NOT OLD.currency OR NEW.amount IS NOT OLD.amount OR NEW.created_by IS NOT OLD.created_by OR NEW.created_at IS NOT OLD.created_at OR (OLD.status = 'succeeded' AND (NEW.status <> OLD.status OR NEW.transaction_id <> OLD.transaction_id)) BEGIN SELECT RAISE(ABORT, 'what refunds say is written once'); END;
CREATE TRIGGER transactions_as_written BEFORE UPDATE ON transactions WHEN NEW.id IS NOT OLD.id OR NEW.payment_id IS NOT OLD.payment_id OR NEW.transaction_id IS NOT OLD.transaction_id OR NEW.kind IS NOT OLD.kind OR NEW.parent_transaction_id IS NOT OLD.parent_transaction_id OR NEW.created_at IS NOT OLD.created_at OR (OLD.refund_id IS NOT NULL AND NEW.refund_id IS NOT OLD.refund_id) BEGIN SELECT RAISE(ABORT, 'what transactions say is written once'); END;
CREATE TRIGGER api_keys_as_written BEFORE UPDATE ON api_keys WHEN NEW.id IS NOT OLD.id OR NEW.name IS NOT OLD.name OR NEW.secret_hash IS NOT OLD.secret_hash OR NEW.scopes IS NOT OLD.scopes OR NEW.created_at IS NOT OLD.created_at OR NEW.lineage IS NOT OLD.lineage OR (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS NOT OLD.revoked_at) OR (OLD.successor_id IS NOT NULL AND NEW.successor_id IS NOT OLD.successor_id) OR (OLD.expires_at IS NOT NULL AND (NEW.expires_at IS NULL OR NEW.expires_at > OLD.expires_at)) BEGIN SELECT RAISE(ABORT, 'what api_keys say is written once'); END;

-- REPLACE deletes the row that is in its way, on SQLite without asking the triggers against deletion.
CREATE TRIGGER payments_no_replace BEFORE INSERT ON payments WHEN EXISTS (SELECT 1 FROM payments WHERE id = NEW.id) BEGIN SELECT RAISE(ABORT, 'payments are not replaced: the row must be unique'); END;
CREATE TRIGGER refunds_no_replace BEFORE INSERT ON refunds WHEN EXISTS (SELECT 1 FROM refunds WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM refunds WHERE transaction_id = NEW.transaction_id) BEGIN SELECT RAISE(ABORT, 'refunds are not replaced: the row must be unique'); END;
CREATE TRIGGER transactions_no_replace BEFORE INSERT ON transactions WHEN EXISTS (SELECT 1 FROM transactions WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM transactions WHERE transaction_id = NEW.transaction_id) OR EXISTS (SELECT 1 FROM transactions WHERE refund_id = NEW.refund_id) BEGIN SELECT RAISE(ABORT, 'transactions are not replaced: the row must be unique'); END;
CREATE TRIGGER approvals_no_replace BEFORE INSERT ON approvals WHEN EXISTS (SELECT 1 FROM approvals WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM approvals WHERE refund_id = NEW.refund_id AND kind = 'refund' AND NEW.kind = 'refund') OR EXISTS (SELECT 1 FROM approvals WHERE operation_id = NEW.operation_id AND state = NEW.state AND state IN ('pending', 'approved')) BEGIN SELECT RAISE(ABORT, 'approvals are not replaced: the row must be unique'); END;
CREATE TRIGGER api_keys_no_replace BEFORE INSERT ON api_keys WHEN EXISTS (SELECT 1 FROM api_keys WHERE id = NEW.id) BEGIN SELECT RAISE(ABORT, 'api_keys are not replaced: the row must be unique'); END;
CREATE TRIGGER personal_data_erasures_no_replace BEFORE INSERT ON personal_data_erasures WHEN EXISTS (SELECT 1 FROM personal_data_erasures WHERE id = NEW.id) BEGIN SELECT RAISE(ABORT, 'personal_data_erasures are not replaced: the row must be unique'); END;
CREATE TRIGGER personal_data_access_no_replace BEFORE INSERT ON personal_data_access WHEN EXISTS (SELECT 1 FROM personal_data_access WHERE id = NEW.id) BEGIN SELECT RAISE(ABORT, 'personal_data_access are not replaced: the row must be unique'); END;
CREATE TRIGGER personal_data_access_ended_no_replace BEFORE INSERT ON personal_data_access_ended WHEN EXISTS (SELECT 1 FROM personal_data_access_ended WHERE up_to = NEW.up_to) BEGIN SELECT RAISE(ABORT, 'personal_data_access_ended are not replaced: the row must be unique'); END;
CREATE TRIGGER history_seals_no_replace BEFORE INSERT ON history_seals WHEN EXISTS (SELECT 1 FROM history_seals WHERE number = NEW.number) BEGIN SELECT RAISE(ABORT, 'history is append-only: the row must be unique'); END;
CREATE TRIGGER history_leaves_no_replace BEFORE INSERT ON history_leaves WHEN EXISTS (SELECT 1 FROM history_leaves WHERE payment_id = NEW.payment_id AND sequence = NEW.sequence) OR EXISTS (SELECT 1 FROM history_leaves WHERE seal = NEW.seal AND position = NEW.position) BEGIN SELECT RAISE(ABORT, 'history is append-only: the row must be unique'); END;
CREATE TRIGGER summary_groups_no_replace BEFORE INSERT ON summary_groups WHEN EXISTS (SELECT 1 FROM summary_groups WHERE day = NEW.day AND currency = NEW.currency AND status = NEW.status AND dimension = NEW.dimension AND part = NEW.part) BEGIN SELECT RAISE(ABORT, 'summary_groups are not replaced: the row must be unique'); END;
CREATE TRIGGER notifications_no_replace BEFORE INSERT ON notifications WHEN EXISTS (SELECT 1 FROM notifications WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM notifications WHERE kind = NEW.kind AND digest = NEW.digest) BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER summary_days_no_replace BEFORE INSERT ON summary_days WHEN EXISTS (SELECT 1 FROM summary_days WHERE day = NEW.day) BEGIN SELECT RAISE(IGNORE); END;

-- TRUNCATE asks no trigger of a row.
