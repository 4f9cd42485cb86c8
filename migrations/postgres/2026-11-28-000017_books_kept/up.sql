-- The rest of the books refuses to be taken away, replaced and rewritten, also for whoever has the service's own
-- credentials. Only `quarantine` does not: it holds what nobody signed, proves nothing, and is bounded by letting go.

-- What is not deleted: calls, runs, what the books do not agree about, claims, and the table of moves. And what the service
-- deletes itself, but for the one case that it does so in:
--   idempotency_keys   given back: no answer is kept, and the call did nothing. It was not sent or, of a call that moves no
--                      new money (3-D Secure, capture, void), it was settled without an answer to keep: refused.
--   register_marks     those of a run that is over.
--   history_unsealed   what a seal covers.
--   payer_keys         a key that nothing is sealed by: of a notification that has another key by now, or no body.
CREATE TRIGGER operations_no_delete BEFORE DELETE ON operations FOR EACH ROW EXECUTE FUNCTION refuse_taking_away();
CREATE TRIGGER reconciliations_no_delete BEFORE DELETE ON reconciliations FOR EACH ROW EXECUTE FUNCTION refuse_taking_away();
CREATE TRIGGER discrepancies_no_delete BEFORE DELETE ON discrepancies FOR EACH ROW EXECUTE FUNCTION refuse_taking_away();
CREATE TRIGGER chargebacks_no_delete BEFORE DELETE ON chargebacks FOR EACH ROW EXECUTE FUNCTION refuse_taking_away();
CREATE TRIGGER transition_edges_no_delete BEFORE DELETE ON transition_edges FOR EACH ROW EXECUTE FUNCTION refuse_taking_away();
CREATE FUNCTION refuse_taking_away_idempotency_keys() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.body IS NULL AND EXISTS (SELECT 1 FROM operations WHERE id = OLD.operation_id AND (state = 'not_sent' OR (state = 'settled' AND kind IN ('three_ds', 'capture', 'void')))) THEN RETURN OLD; END IF; RAISE EXCEPTION 'idempotency_keys are not deleted'; END $$;
CREATE TRIGGER idempotency_keys_no_delete BEFORE DELETE ON idempotency_keys FOR EACH ROW EXECUTE FUNCTION refuse_taking_away_idempotency_keys();
CREATE FUNCTION refuse_taking_away_register_marks() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NOT (EXISTS (SELECT 1 FROM reconciliations WHERE id = OLD.reconciliation_id AND state = 'running')) THEN RETURN OLD; END IF; RAISE EXCEPTION 'register_marks are not deleted'; END $$;
CREATE TRIGGER register_marks_no_delete BEFORE DELETE ON register_marks FOR EACH ROW EXECUTE FUNCTION refuse_taking_away_register_marks();
CREATE FUNCTION refuse_taking_away_history_unsealed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF EXISTS (SELECT 1 FROM history_leaves WHERE payment_id = OLD.payment_id AND sequence = OLD.sequence) THEN RETURN OLD; END IF; RAISE EXCEPTION 'history_unsealed are not deleted'; END $$;
CREATE TRIGGER history_unsealed_no_delete BEFORE DELETE ON history_unsealed FOR EACH ROW EXECUTE FUNCTION refuse_taking_away_history_unsealed();
CREATE FUNCTION refuse_taking_away_payer_keys() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NOT (EXISTS (SELECT 1 FROM payments WHERE payer_key_id = OLD.id) OR EXISTS (SELECT 1 FROM notifications WHERE id = OLD.id AND payer_key_id = OLD.id)) THEN RETURN OLD; END IF; RAISE EXCEPTION 'payer_keys are not deleted'; END $$;
CREATE TRIGGER payer_keys_no_delete BEFORE DELETE ON payer_keys FOR EACH ROW EXECUTE FUNCTION refuse_taking_away_payer_keys();

-- The key that proposed to close it, and when; its words stand where those of the closing go.
ALTER TABLE discrepancies ADD COLUMN proposed_by TEXT;
ALTER TABLE discrepancies ADD COLUMN proposed_at TIMESTAMP CHECK ((proposed_at IS NULL) = (proposed_by IS NULL));

-- What somebody did to a thing that belongs to no payment, for the law that each closing is told.
CREATE INDEX events_subject ON events (subject_id) WHERE subject_id IS NOT NULL;

-- What is written once; and what is over stays over: calls, runs, closed discrepancies, destroyed keys. Of an idempotency key
-- the answer is taken away when its time is over or its payer is erased, and with it the call; nothing comes in its place.
-- A proposal to close what is open gives way to another one, of this key or another, once it no longer counts: its key was
-- revoked or has expired, or nobody answered it in time. It is never taken away, and never changed by the closing. Each one is
-- told in what is never rewritten (law operators_closing_is_told).
CREATE TRIGGER operations_as_written BEFORE UPDATE ON operations FOR EACH ROW WHEN (NEW.id IS DISTINCT FROM OLD.id OR NEW.payment_id IS DISTINCT FROM OLD.payment_id OR NEW.refund_id IS DISTINCT FROM OLD.refund_id OR NEW.kind IS DISTINCT FROM OLD.kind OR NEW.transaction_id IS DISTINCT FROM OLD.transaction_id OR NEW.amount IS DISTINCT FROM OLD.amount OR NEW.started_at IS DISTINCT FROM OLD.started_at OR NEW.lookups < OLD.lookups OR (OLD.refused_at IS NOT NULL AND NEW.refused_at IS DISTINCT FROM OLD.refused_at) OR (OLD.state = 'undetermined' AND NEW.state = 'started') OR (OLD.due_at IS NULL AND (NEW.state IS DISTINCT FROM OLD.state OR NEW.due_at IS DISTINCT FROM OLD.due_at OR NEW.lookups IS DISTINCT FROM OLD.lookups))) EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER idempotency_keys_as_written BEFORE UPDATE ON idempotency_keys FOR EACH ROW WHEN (NEW.api_key_id IS DISTINCT FROM OLD.api_key_id OR NEW.idempotency_key IS DISTINCT FROM OLD.idempotency_key OR NEW.resource_id IS DISTINCT FROM OLD.resource_id OR NEW.created_at IS DISTINCT FROM OLD.created_at OR NEW.endpoint IS DISTINCT FROM OLD.endpoint OR (OLD.payment_id IS NOT NULL AND NEW.payment_id IS DISTINCT FROM OLD.payment_id) OR (NEW.operation_id IS NOT NULL AND NEW.operation_id IS DISTINCT FROM OLD.operation_id) OR (OLD.status IS NOT NULL AND NEW.status IS NOT NULL AND (NEW.status IS DISTINCT FROM OLD.status OR NEW.location IS DISTINCT FROM OLD.location))) EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER reconciliations_as_written BEFORE UPDATE ON reconciliations FOR EACH ROW WHEN (NEW.id IS DISTINCT FROM OLD.id OR NEW.purpose IS DISTINCT FROM OLD.purpose OR NEW.day IS DISTINCT FROM OLD.day OR NEW.window_from IS DISTINCT FROM OLD.window_from OR NEW.requested_by IS DISTINCT FROM OLD.requested_by OR OLD.state <> 'running') EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER discrepancies_as_written BEFORE UPDATE ON discrepancies FOR EACH ROW WHEN (NEW.id IS DISTINCT FROM OLD.id OR NEW.kind IS DISTINCT FROM OLD.kind OR NEW.transaction_id IS DISTINCT FROM OLD.transaction_id OR NEW.payment_id IS DISTINCT FROM OLD.payment_id OR NEW.named_payment_id IS DISTINCT FROM OLD.named_payment_id OR NEW.invoice_id IS DISTINCT FROM OLD.invoice_id OR NEW.lost IS DISTINCT FROM OLD.lost OR NEW.ours_status IS DISTINCT FROM OLD.ours_status OR NEW.ours_currency IS DISTINCT FROM OLD.ours_currency OR NEW.ours_amount IS DISTINCT FROM OLD.ours_amount OR NEW.theirs_status IS DISTINCT FROM OLD.theirs_status OR NEW.theirs_currency IS DISTINCT FROM OLD.theirs_currency OR NEW.theirs_amount IS DISTINCT FROM OLD.theirs_amount OR NEW.opened_by IS DISTINCT FROM OLD.opened_by OR NEW.opened_at IS DISTINCT FROM OLD.opened_at OR (OLD.closed_at IS NOT NULL AND (NEW.resolution IS DISTINCT FROM OLD.resolution OR NEW.closed_by IS DISTINCT FROM OLD.closed_by OR NEW.closed_at IS DISTINCT FROM OLD.closed_at OR NEW.proposed_by IS DISTINCT FROM OLD.proposed_by OR NEW.proposed_at IS DISTINCT FROM OLD.proposed_at)) OR (OLD.proposed_by IS NOT NULL AND (NEW.proposed_by IS NULL OR (NEW.closed_at IS NOT NULL AND (NEW.proposed_by IS DISTINCT FROM OLD.proposed_by OR NEW.proposed_at IS DISTINCT FROM OLD.proposed_at))))) EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER chargebacks_as_written BEFORE UPDATE ON chargebacks FOR EACH ROW WHEN (NEW.id IS DISTINCT FROM OLD.id OR NEW.provider_id IS DISTINCT FROM OLD.provider_id OR NEW.operation IS DISTINCT FROM OLD.operation OR NEW.kind IS DISTINCT FROM OLD.kind OR NEW.transaction_id IS DISTINCT FROM OLD.transaction_id OR NEW.currency IS DISTINCT FROM OLD.currency OR NEW.amount IS DISTINCT FROM OLD.amount OR NEW.raised_at IS DISTINCT FROM OLD.raised_at OR NEW.found_by IS DISTINCT FROM OLD.found_by OR NEW.found_at IS DISTINCT FROM OLD.found_at OR (OLD.payment_id IS NOT NULL AND NEW.payment_id IS DISTINCT FROM OLD.payment_id)) EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER payer_keys_as_written BEFORE UPDATE ON payer_keys FOR EACH ROW WHEN (NEW.id IS DISTINCT FROM OLD.id OR NEW.created_at IS DISTINCT FROM OLD.created_at OR (OLD.erased_at IS NOT NULL AND NEW.erased_at IS DISTINCT FROM OLD.erased_at)) EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER notifications_as_written BEFORE UPDATE ON notifications FOR EACH ROW WHEN (NEW.id IS DISTINCT FROM OLD.id OR NEW.kind IS DISTINCT FROM OLD.kind OR NEW.is_json IS DISTINCT FROM OLD.is_json OR NEW.transaction_id IS DISTINCT FROM OLD.transaction_id OR NEW.parent_transaction_id IS DISTINCT FROM OLD.parent_transaction_id OR NEW.reply IS DISTINCT FROM OLD.reply OR NEW.received_at IS DISTINCT FROM OLD.received_at) EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER register_marks_as_written BEFORE UPDATE ON register_marks FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();
CREATE TRIGGER history_unsealed_as_written BEFORE UPDATE ON history_unsealed FOR EACH ROW EXECUTE FUNCTION refuse_rewriting();

-- The moves of a payment come with the tables. A migration that adds one takes this trigger away first and puts it back.
CREATE FUNCTION refuse_moves() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'transition_edges are written by migrations alone'; END $$;
CREATE TRIGGER transition_edges_no_update BEFORE INSERT OR UPDATE ON transition_edges FOR EACH ROW EXECUTE FUNCTION refuse_moves();

-- A loss opens its bill, or refunds of its payment, once it is closed. Two lines of keys close it: one proposes, another one
-- closes. No run does: one under way may replace the row where the record changed, and opens another (src/app/findings.rs).
CREATE FUNCTION refuse_closing_alone() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.resolution = 'operator' AND (SELECT COALESCE(lineage, id) FROM api_keys WHERE id = OLD.proposed_by) <> (SELECT COALESCE(lineage, id) FROM api_keys WHERE id = NEW.closed_by) THEN RETURN NEW; END IF; IF NEW.resolution = 'superseded' AND EXISTS (SELECT 1 FROM reconciliations WHERE id = NEW.closed_by AND state = 'running') THEN RETURN NEW; END IF; RAISE EXCEPTION 'a loss is closed by a second key'; END $$;
CREATE TRIGGER discrepancies_lost_by_two BEFORE UPDATE ON discrepancies FOR EACH ROW WHEN (OLD.lost AND OLD.closed_at IS NULL AND NEW.closed_at IS NOT NULL) EXECUTE FUNCTION refuse_closing_alone();
CREATE TRIGGER discrepancies_open_at_first BEFORE INSERT ON discrepancies FOR EACH ROW WHEN (NEW.resolution = 'operator' OR (NEW.lost AND NEW.closed_at IS NOT NULL) OR NEW.proposed_by IS NOT NULL) EXECUTE FUNCTION refuse_rewriting();

-- TRUNCATE asks no trigger of a row.
CREATE TRIGGER operations_no_truncate BEFORE TRUNCATE ON operations FOR EACH STATEMENT EXECUTE FUNCTION refuse_taking_away();
CREATE TRIGGER reconciliations_no_truncate BEFORE TRUNCATE ON reconciliations FOR EACH STATEMENT EXECUTE FUNCTION refuse_taking_away();
CREATE TRIGGER discrepancies_no_truncate BEFORE TRUNCATE ON discrepancies FOR EACH STATEMENT EXECUTE FUNCTION refuse_taking_away();
CREATE TRIGGER chargebacks_no_truncate BEFORE TRUNCATE ON chargebacks FOR EACH STATEMENT EXECUTE FUNCTION refuse_taking_away();
CREATE TRIGGER transition_edges_no_truncate BEFORE TRUNCATE ON transition_edges FOR EACH STATEMENT EXECUTE FUNCTION refuse_taking_away();
CREATE TRIGGER idempotency_keys_no_truncate BEFORE TRUNCATE ON idempotency_keys FOR EACH STATEMENT EXECUTE FUNCTION refuse_taking_away();
CREATE TRIGGER register_marks_no_truncate BEFORE TRUNCATE ON register_marks FOR EACH STATEMENT EXECUTE FUNCTION refuse_taking_away();
CREATE TRIGGER history_unsealed_no_truncate BEFORE TRUNCATE ON history_unsealed FOR EACH STATEMENT EXECUTE FUNCTION refuse_taking_away();
CREATE TRIGGER payer_keys_no_truncate BEFORE TRUNCATE ON payer_keys FOR EACH STATEMENT EXECUTE FUNCTION refuse_taking_away();

-- How many groups a day was published with. The day is written first, so that nothing is added to it once they are all there.
ALTER TABLE summary_days ADD COLUMN group_count BIGINT NOT NULL DEFAULT 0;
DROP TRIGGER summary_days_no_update ON summary_days;
UPDATE summary_days SET group_count = (SELECT count(*) FROM summary_groups WHERE summary_groups.day = summary_days.day);
CREATE TRIGGER summary_days_no_update BEFORE UPDATE OR DELETE ON summary_days FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE FUNCTION refuse_after_publishing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF (SELECT count(*) FROM summary_groups WHERE day = NEW.day) >= (SELECT group_count FROM summary_days WHERE day = NEW.day) THEN RAISE EXCEPTION 'reports are append-only: the day is published'; END IF; RETURN NEW; END $$;
CREATE TRIGGER summary_groups_as_published BEFORE INSERT ON summary_groups FOR EACH ROW EXECUTE FUNCTION refuse_after_publishing();

-- What may be deleted of the records of readings is what the row says, the oldest of them, none younger than the shortest time
-- that the settings allow (30 days), by a moment that the database itself has reached (but for a day, as clocks differ).
CREATE FUNCTION refuse_ending_early() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.at > now() AT TIME ZONE 'UTC' + INTERVAL '1 day' OR NEW.records <> (SELECT count(*) FROM personal_data_access WHERE id <= NEW.up_to) OR NOT EXISTS (SELECT 1 FROM personal_data_access WHERE id = NEW.up_to) OR EXISTS (SELECT 1 FROM personal_data_access WHERE id <= NEW.up_to AND at > NEW.at - INTERVAL '30 days') THEN RAISE EXCEPTION 'records are append-only: they leave by retention, the oldest first'; END IF; RETURN NEW; END $$;
CREATE TRIGGER personal_data_access_ended_in_time BEFORE INSERT ON personal_data_access_ended FOR EACH ROW EXECUTE FUNCTION refuse_ending_early();

-- Money for a bill that no payment here accounts for: lost, or without a name of ours.
DROP INDEX discrepancies_lost;
CREATE INDEX discrepancies_of_bill ON discrepancies (invoice_id) WHERE payment_id IS NULL AND closed_at IS NULL;
