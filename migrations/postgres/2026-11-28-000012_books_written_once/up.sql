-- More of the books that refuses to be taken away or rewritten, also for whoever has the service's own credentials.

-- Records of readings leave by retention alone, and that they did is recorded: those with an id up to this one may be deleted.
CREATE TABLE personal_data_access_ended (
    up_to TEXT PRIMARY KEY NOT NULL,
    records BIGINT NOT NULL CHECK (records > 0),
    at TIMESTAMP NOT NULL
);

-- What is not deleted.
CREATE FUNCTION refuse_taking_away() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '% are not deleted', TG_TABLE_NAME; END $$;
CREATE TRIGGER refunds_no_delete BEFORE DELETE ON refunds FOR EACH ROW EXECUTE FUNCTION refuse_taking_away();
CREATE TRIGGER api_keys_no_delete BEFORE DELETE ON api_keys FOR EACH ROW EXECUTE FUNCTION refuse_taking_away();
CREATE FUNCTION refuse_before_end() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF EXISTS (SELECT 1 FROM personal_data_access_ended WHERE up_to >= OLD.id) THEN RETURN OLD; END IF; RAISE EXCEPTION 'records are append-only'; END $$;
CREATE TRIGGER personal_data_access_no_delete BEFORE DELETE ON personal_data_access FOR EACH ROW EXECUTE FUNCTION refuse_before_end();
CREATE TRIGGER personal_data_access_ended_no_update BEFORE UPDATE OR DELETE ON personal_data_access_ended FOR EACH ROW EXECUTE FUNCTION refuse_change();

-- What is written once: columns that never change, what came about, and what was taken back.
CREATE FUNCTION refuse_rewriting() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'what % say is written once', TG_TABLE_NAME; END $$;
CREATE TRIGGER payments_as_written BEFORE UPDATE ON payments FOR EACH ROW WHEN (NEW.id IS DISTINCT FROM OLD.id OR NEW.currency IS DISTINCT FROM OLD.currency OR NEW.amount IS DISTINCT FROM OLD.amount OR NEW.invoice_id IS DISTINCT FROM OLD.invoice_id OR NEW.capture_mode IS DISTINCT FROM OLD.capture_mode OR NEW.method IS DISTINCT FROM OLD.method OR NEW.language IS DISTINCT FROM OLD.language OR NEW.created_by IS DISTINCT FROM OLD.created_by OR NEW.created_at IS DISTINCT FROM OLD.created_at OR NEW.expires_at IS DISTINCT FROM OLD.expires_at) EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER refunds_as_written BEFORE UPDATE ON refunds FOR EACH ROW WHEN (NEW.id IS DISTINCT FROM OLD.id OR NEW.payment_id IS DISTINCT FROM OLD.payment_id OR NEW.parent_transaction_id IS DISTINCT FROM OLD.parent_transaction_id OR NEW.currency IS DISTINCT FROM OLD.currency OR NEW.amount IS DISTINCT FROM OLD.amount OR NEW.created_by IS DISTINCT FROM OLD.created_by OR NEW.created_at IS DISTINCT FROM OLD.created_at OR (OLD.status = 'succeeded' AND (NEW.status <> OLD.status OR NEW.transaction_id <> OLD.transaction_id))) EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER transactions_as_written BEFORE UPDATE ON transactions FOR EACH ROW WHEN (NEW.id IS DISTINCT FROM OLD.id OR NEW.payment_id IS DISTINCT FROM OLD.payment_id OR NEW.transaction_id IS DISTINCT FROM OLD.transaction_id OR NEW.kind IS DISTINCT FROM OLD.kind OR NEW.parent_transaction_id IS DISTINCT FROM OLD.parent_transaction_id OR NEW.created_at IS DISTINCT FROM OLD.created_at OR (OLD.refund_id IS NOT NULL AND NEW.refund_id IS DISTINCT FROM OLD.refund_id)) EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER api_keys_as_written BEFORE UPDATE ON api_keys FOR EACH ROW WHEN (NEW.id IS DISTINCT FROM OLD.id OR NEW.name IS DISTINCT FROM OLD.name OR NEW.secret_hash IS DISTINCT FROM OLD.secret_hash OR NEW.scopes IS DISTINCT FROM OLD.scopes OR NEW.created_at IS DISTINCT FROM OLD.created_at OR NEW.lineage IS DISTINCT FROM OLD.lineage OR (OLD.revoked_at IS NOT NULL AND NEW.revoked_at IS DISTINCT FROM OLD.revoked_at) OR (OLD.successor_id IS NOT NULL AND NEW.successor_id IS DISTINCT FROM OLD.successor_id) OR (OLD.expires_at IS NOT NULL AND (NEW.expires_at IS NULL OR NEW.expires_at > OLD.expires_at))) EXECUTE FUNCTION refuse_rewriting();

-- REPLACE deletes the row that is in its way, on SQLite without asking the triggers against deletion.

-- TRUNCATE asks no trigger of a row.
CREATE TRIGGER payments_no_truncate BEFORE TRUNCATE ON payments FOR EACH STATEMENT EXECUTE FUNCTION refuse_taking_away();
CREATE TRIGGER refunds_no_truncate BEFORE TRUNCATE ON refunds FOR EACH STATEMENT EXECUTE FUNCTION refuse_taking_away();
CREATE TRIGGER api_keys_no_truncate BEFORE TRUNCATE ON api_keys FOR EACH STATEMENT EXECUTE FUNCTION refuse_taking_away();
CREATE TRIGGER personal_data_access_no_truncate BEFORE TRUNCATE ON personal_data_access FOR EACH STATEMENT EXECUTE FUNCTION refuse_taking_away();
CREATE TRIGGER personal_data_access_ended_no_truncate BEFORE TRUNCATE ON personal_data_access_ended FOR EACH STATEMENT EXECUTE FUNCTION refuse_taking_away();
CREATE TRIGGER summary_days_no_truncate BEFORE TRUNCATE ON summary_days FOR EACH STATEMENT EXECUTE FUNCTION refuse_taking_away();
CREATE TRIGGER summary_groups_no_truncate BEFORE TRUNCATE ON summary_groups FOR EACH STATEMENT EXECUTE FUNCTION refuse_taking_away();
