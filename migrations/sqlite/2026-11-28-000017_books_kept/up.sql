-- The rest of the books refuses to be taken away, replaced and rewritten, also for whoever has the service's own
-- credentials. Only `quarantine` does not: it holds what nobody signed, proves nothing, and is bounded by letting go.

-- What is not deleted: calls, runs, what the books do not agree about, claims, and the table of moves. And what the service
-- deletes itself, but for the one case that it does so in:
--   idempotency_keys   given back: no answer is kept, and the call did nothing. It was not sent or, of a call that moves no
--                      new money (3-D Secure, capture, void), it was settled without an answer to keep: refused.
--   register_marks     those of a run that is over.
--   history_unsealed   what a seal covers.
--   payer_keys         a key that nothing is sealed by: of a notification that has another key by now, or no body.
CREATE TRIGGER operations_no_delete BEFORE DELETE ON operations BEGIN SELECT RAISE(ABORT, 'operations are not deleted'); END;
CREATE TRIGGER reconciliations_no_delete BEFORE DELETE ON reconciliations BEGIN SELECT RAISE(ABORT, 'reconciliations are not deleted'); END;
CREATE TRIGGER discrepancies_no_delete BEFORE DELETE ON discrepancies BEGIN SELECT RAISE(ABORT, 'discrepancies are not deleted'); END;
CREATE TRIGGER chargebacks_no_delete BEFORE DELETE ON chargebacks BEGIN SELECT RAISE(ABORT, 'chargebacks are not deleted'); END;
CREATE TRIGGER transition_edges_no_delete BEFORE DELETE ON transition_edges BEGIN SELECT RAISE(ABORT, 'transition_edges are not deleted'); END;
CREATE TRIGGER idempotency_keys_no_delete BEFORE DELETE ON idempotency_keys WHEN NOT (OLD.body IS NULL AND EXISTS (SELECT 1 FROM operations WHERE id = OLD.operation_id AND (state = 'not_sent' OR (state = 'settled' AND kind IN ('three_ds', 'capture', 'void'))))) BEGIN SELECT RAISE(ABORT, 'idempotency_keys are not deleted'); END;
CREATE TRIGGER register_marks_no_delete BEFORE DELETE ON register_marks WHEN EXISTS (SELECT 1 FROM reconciliations WHERE id = OLD.reconciliation_id AND state = 'running') BEGIN SELECT RAISE(ABORT, 'register_marks are not deleted'); END;
CREATE TRIGGER history_unsealed_no_delete BEFORE DELETE ON history_unsealed WHEN NOT EXISTS (SELECT 1 FROM history_leaves WHERE payment_id = OLD.payment_id AND sequence = OLD.sequence) BEGIN SELECT RAISE(ABORT, 'history_unsealed are not deleted'); END;
CREATE TRIGGER payer_keys_no_delete BEFORE DELETE ON payer_keys WHEN EXISTS (SELECT 1 FROM payments WHERE payer_key_id = OLD.id) OR EXISTS (SELECT 1 FROM notifications WHERE id = OLD.id AND payer_key_id = OLD.id) BEGIN SELECT RAISE(ABORT, 'payer_keys are not deleted'); END;

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
CREATE TRIGGER operations_as_written BEFORE UPDATE ON operations WHEN NEW.id IS NOT OLD.id OR NEW.payment_id IS NOT OLD.payment_id OR NEW.refund_id IS NOT OLD.refund_id OR NEW.kind IS NOT OLD.kind OR NEW.transaction_id IS NOT OLD.transaction_id OR NEW.amount IS NOT OLD.amount OR NEW.started_at IS NOT OLD.started_at OR NEW.lookups < OLD.lookups OR (OLD.refused_at IS NOT NULL AND NEW.refused_at IS NOT OLD.refused_at) OR (OLD.state = 'undetermined' AND NEW.state = 'started') OR (OLD.due_at IS NULL AND (NEW.state IS NOT OLD.state OR NEW.due_at IS NOT OLD.due_at OR NEW.lookups IS NOT OLD.lookups)) BEGIN SELECT RAISE(ABORT, 'what operations say is written once'); END;
CREATE TRIGGER idempotency_keys_as_written BEFORE UPDATE ON idempotency_keys WHEN NEW.api_key_id IS NOT OLD.api_key_id OR NEW.idempotency_key IS NOT OLD.idempotency_key OR NEW.resource_id IS NOT OLD.resource_id OR NEW.created_at IS NOT OLD.created_at OR NEW.endpoint IS NOT OLD.endpoint OR (OLD.payment_id IS NOT NULL AND NEW.payment_id IS NOT OLD.payment_id) OR (NEW.operation_id IS NOT NULL AND NEW.operation_id IS NOT OLD.operation_id) OR (OLD.status IS NOT NULL AND NEW.status IS NOT NULL AND (NEW.status IS NOT OLD.status OR NEW.location IS NOT OLD.location)) BEGIN SELECT RAISE(ABORT, 'what idempotency_keys say is written once'); END;
CREATE TRIGGER reconciliations_as_written BEFORE UPDATE ON reconciliations WHEN NEW.id IS NOT OLD.id OR NEW.purpose IS NOT OLD.purpose OR NEW.day IS NOT OLD.day OR NEW.window_from IS NOT OLD.window_from OR NEW.requested_by IS NOT OLD.requested_by OR OLD.state <> 'running' BEGIN SELECT RAISE(ABORT, 'what reconciliations say is written once'); END;
CREATE TRIGGER discrepancies_as_written BEFORE UPDATE ON discrepancies WHEN NEW.id IS NOT OLD.id OR NEW.kind IS NOT OLD.kind OR NEW.transaction_id IS NOT OLD.transaction_id OR NEW.payment_id IS NOT OLD.payment_id OR NEW.named_payment_id IS NOT OLD.named_payment_id OR NEW.invoice_id IS NOT OLD.invoice_id OR NEW.lost IS NOT OLD.lost OR NEW.ours_status IS NOT OLD.ours_status OR NEW.ours_currency IS NOT OLD.ours_currency OR NEW.ours_amount IS NOT OLD.ours_amount OR NEW.theirs_status IS NOT OLD.theirs_status OR NEW.theirs_currency IS NOT OLD.theirs_currency OR NEW.theirs_amount IS NOT OLD.theirs_amount OR NEW.opened_by IS NOT OLD.opened_by OR NEW.opened_at IS NOT OLD.opened_at OR (OLD.closed_at IS NOT NULL AND (NEW.resolution IS NOT OLD.resolution OR NEW.closed_by IS NOT OLD.closed_by OR NEW.closed_at IS NOT OLD.closed_at OR NEW.proposed_by IS NOT OLD.proposed_by OR NEW.proposed_at IS NOT OLD.proposed_at)) OR (OLD.proposed_by IS NOT NULL AND (NEW.proposed_by IS NULL OR (NEW.closed_at IS NOT NULL AND (NEW.proposed_by IS NOT OLD.proposed_by OR NEW.proposed_at IS NOT OLD.proposed_at)))) BEGIN SELECT RAISE(ABORT, 'what discrepancies say is written once'); END;
CREATE TRIGGER chargebacks_as_written BEFORE UPDATE ON chargebacks WHEN NEW.id IS NOT OLD.id OR NEW.provider_id IS NOT OLD.provider_id OR NEW.operation IS NOT OLD.operation OR NEW.kind IS NOT OLD.kind OR NEW.transaction_id IS NOT OLD.transaction_id OR NEW.currency IS NOT OLD.currency OR NEW.amount IS NOT OLD.amount OR NEW.raised_at IS NOT OLD.raised_at OR NEW.found_by IS NOT OLD.found_by OR NEW.found_at IS NOT OLD.found_at OR (OLD.payment_id IS NOT NULL AND NEW.payment_id IS NOT OLD.payment_id) BEGIN SELECT RAISE(ABORT, 'what chargebacks say is written once'); END;
CREATE TRIGGER payer_keys_as_written BEFORE UPDATE ON payer_keys WHEN NEW.id IS NOT OLD.id OR NEW.created_at IS NOT OLD.created_at OR (OLD.erased_at IS NOT NULL AND NEW.erased_at IS NOT OLD.erased_at) BEGIN SELECT RAISE(ABORT, 'what payer_keys say is written once'); END;
CREATE TRIGGER notifications_as_written BEFORE UPDATE ON notifications WHEN NEW.id IS NOT OLD.id OR NEW.kind IS NOT OLD.kind OR NEW.is_json IS NOT OLD.is_json OR NEW.transaction_id IS NOT OLD.transaction_id OR NEW.parent_transaction_id IS NOT OLD.parent_transaction_id OR NEW.reply IS NOT OLD.reply OR NEW.received_at IS NOT OLD.received_at BEGIN SELECT RAISE(ABORT, 'what notifications say is written once'); END;
CREATE TRIGGER register_marks_as_written BEFORE UPDATE ON register_marks BEGIN SELECT RAISE(ABORT, 'what register_marks say is written once'); END;
CREATE TRIGGER history_unsealed_as_written BEFORE UPDATE ON history_unsealed BEGIN SELECT RAISE(ABORT, 'what history_unsealed say is written once'); END;

-- The moves of a payment come with the tables. A migration that adds one takes this trigger away first and puts it back.
CREATE TRIGGER transition_edges_no_insert BEFORE INSERT ON transition_edges BEGIN SELECT RAISE(ABORT, 'transition_edges are written by migrations alone'); END;
CREATE TRIGGER transition_edges_no_update BEFORE UPDATE ON transition_edges BEGIN SELECT RAISE(ABORT, 'transition_edges are written by migrations alone'); END;

-- A loss opens its bill, or refunds of its payment, once it is closed. Two lines of keys close it: one proposes, another one
-- closes. No run does: one under way may replace the row where the record changed, and opens another (src/app/findings.rs).
CREATE TRIGGER discrepancies_lost_by_two BEFORE UPDATE ON discrepancies WHEN OLD.lost AND OLD.closed_at IS NULL AND NEW.closed_at IS NOT NULL AND NOT COALESCE(NEW.resolution = 'operator' AND (SELECT COALESCE(lineage, id) FROM api_keys WHERE id = OLD.proposed_by) <> (SELECT COALESCE(lineage, id) FROM api_keys WHERE id = NEW.closed_by), 0) AND NOT (NEW.resolution = 'superseded' AND EXISTS (SELECT 1 FROM reconciliations WHERE id = NEW.closed_by AND state = 'running')) BEGIN SELECT RAISE(ABORT, 'a loss is closed by a second key'); END;
CREATE TRIGGER discrepancies_open_at_first BEFORE INSERT ON discrepancies WHEN NEW.resolution = 'operator' OR (NEW.lost AND NEW.closed_at IS NOT NULL) OR NEW.proposed_by IS NOT NULL BEGIN SELECT RAISE(ABORT, 'discrepancies are written once: a person closes what was open'); END;

-- REPLACE, by a unique column and by the place of a row (rowid). What has a writer that takes a repeat for done is left as it
-- is (IGNORE).
CREATE TRIGGER operations_no_replace BEFORE INSERT ON operations WHEN EXISTS (SELECT 1 FROM operations WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM operations WHERE payment_id = NEW.payment_id AND kind <> 'refund' AND state IN ('started', 'undetermined') AND NEW.kind <> 'refund' AND NEW.state IN ('started', 'undetermined')) OR EXISTS (SELECT 1 FROM operations WHERE refund_id = NEW.refund_id AND kind = 'refund' AND state IN ('started', 'undetermined') AND NEW.kind = 'refund' AND NEW.state IN ('started', 'undetermined')) BEGIN SELECT RAISE(ABORT, 'operations are not replaced: the row must be unique'); END;
CREATE TRIGGER reconciliations_no_replace BEFORE INSERT ON reconciliations WHEN EXISTS (SELECT 1 FROM reconciliations WHERE id = NEW.id) BEGIN SELECT RAISE(ABORT, 'reconciliations are not replaced: the row must be unique'); END;
CREATE TRIGGER discrepancies_no_replace BEFORE INSERT ON discrepancies WHEN EXISTS (SELECT 1 FROM discrepancies WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM discrepancies WHERE transaction_id = NEW.transaction_id AND kind = NEW.kind AND closed_at IS NULL AND NEW.closed_at IS NULL) BEGIN SELECT RAISE(ABORT, 'discrepancies are not replaced: the row must be unique'); END;
CREATE TRIGGER chargebacks_no_replace BEFORE INSERT ON chargebacks WHEN EXISTS (SELECT 1 FROM chargebacks WHERE id = NEW.id) BEGIN SELECT RAISE(ABORT, 'chargebacks are not replaced: the row must be unique'); END;
CREATE TRIGGER history_unsealed_no_replace BEFORE INSERT ON history_unsealed WHEN EXISTS (SELECT 1 FROM history_unsealed WHERE payment_id = NEW.payment_id AND sequence = NEW.sequence) BEGIN SELECT RAISE(ABORT, 'history_unsealed are not replaced: the row must be unique'); END;
CREATE TRIGGER payer_keys_no_replace BEFORE INSERT ON payer_keys WHEN EXISTS (SELECT 1 FROM payer_keys WHERE id = NEW.id) BEGIN SELECT RAISE(ABORT, 'payer_keys are not replaced: the row must be unique'); END;
CREATE TRIGGER idempotency_keys_no_replace BEFORE INSERT ON idempotency_keys WHEN EXISTS (SELECT 1 FROM idempotency_keys WHERE api_key_id = NEW.api_key_id AND idempotency_key = NEW.idempotency_key) BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER register_marks_no_replace BEFORE INSERT ON register_marks WHEN EXISTS (SELECT 1 FROM register_marks WHERE reconciliation_id = NEW.reconciliation_id AND transaction_id = NEW.transaction_id) BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER reconciliations_no_replace_of_same BEFORE INSERT ON reconciliations WHEN EXISTS (SELECT 1 FROM reconciliations WHERE day = NEW.day AND state <> 'failed' AND NEW.state <> 'failed' AND id <> NEW.id) BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER chargebacks_no_replace_of_same BEFORE INSERT ON chargebacks WHEN EXISTS (SELECT 1 FROM chargebacks WHERE provider_id = NEW.provider_id AND operation = NEW.operation AND kind = NEW.kind AND id <> NEW.id) BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER operations_no_replace_of_place BEFORE INSERT ON operations WHEN EXISTS (SELECT 1 FROM operations WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'operations are not replaced: the row must be unique'); END;
CREATE TRIGGER idempotency_keys_no_replace_of_place BEFORE INSERT ON idempotency_keys WHEN EXISTS (SELECT 1 FROM idempotency_keys WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'idempotency_keys are not replaced: the row must be unique'); END;
CREATE TRIGGER reconciliations_no_replace_of_place BEFORE INSERT ON reconciliations WHEN EXISTS (SELECT 1 FROM reconciliations WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'reconciliations are not replaced: the row must be unique'); END;
CREATE TRIGGER register_marks_no_replace_of_place BEFORE INSERT ON register_marks WHEN EXISTS (SELECT 1 FROM register_marks WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'register_marks are not replaced: the row must be unique'); END;
CREATE TRIGGER discrepancies_no_replace_of_place BEFORE INSERT ON discrepancies WHEN EXISTS (SELECT 1 FROM discrepancies WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'discrepancies are not replaced: the row must be unique'); END;
CREATE TRIGGER chargebacks_no_replace_of_place BEFORE INSERT ON chargebacks WHEN EXISTS (SELECT 1 FROM chargebacks WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'chargebacks are not replaced: the row must be unique'); END;
CREATE TRIGGER history_unsealed_no_replace_of_place BEFORE INSERT ON history_unsealed WHEN EXISTS (SELECT 1 FROM history_unsealed WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'history_unsealed are not replaced: the row must be unique'); END;
CREATE TRIGGER payer_keys_no_replace_of_place BEFORE INSERT ON payer_keys WHEN EXISTS (SELECT 1 FROM payer_keys WHERE rowid = NEW.rowid) BEGIN SELECT RAISE(ABORT, 'payer_keys are not replaced: the row must be unique'); END;
CREATE TRIGGER operations_stay_in_place BEFORE UPDATE ON operations WHEN NEW.rowid IS NOT OLD.rowid BEGIN SELECT RAISE(ABORT, 'what operations say is written once'); END;
CREATE TRIGGER idempotency_keys_stay_in_place BEFORE UPDATE ON idempotency_keys WHEN NEW.rowid IS NOT OLD.rowid BEGIN SELECT RAISE(ABORT, 'what idempotency_keys say is written once'); END;
CREATE TRIGGER reconciliations_stay_in_place BEFORE UPDATE ON reconciliations WHEN NEW.rowid IS NOT OLD.rowid BEGIN SELECT RAISE(ABORT, 'what reconciliations say is written once'); END;
CREATE TRIGGER discrepancies_stay_in_place BEFORE UPDATE ON discrepancies WHEN NEW.rowid IS NOT OLD.rowid BEGIN SELECT RAISE(ABORT, 'what discrepancies say is written once'); END;
CREATE TRIGGER chargebacks_stay_in_place BEFORE UPDATE ON chargebacks WHEN NEW.rowid IS NOT OLD.rowid BEGIN SELECT RAISE(ABORT, 'what chargebacks say is written once'); END;
CREATE TRIGGER payer_keys_stay_in_place BEFORE UPDATE ON payer_keys WHEN NEW.rowid IS NOT OLD.rowid BEGIN SELECT RAISE(ABORT, 'what payer_keys say is written once'); END;

-- How many groups a day was published with. The day is written first, so that nothing is added to it once they are all there.
ALTER TABLE summary_days ADD COLUMN group_count BIGINT NOT NULL DEFAULT 0;
DROP TRIGGER summary_days_no_update;
UPDATE summary_days SET group_count = (SELECT count(*) FROM summary_groups WHERE summary_groups.day = summary_days.day);
CREATE TRIGGER summary_days_no_update BEFORE UPDATE ON summary_days BEGIN SELECT RAISE(ABORT, 'reports are append-only'); END;
CREATE TRIGGER summary_groups_as_published BEFORE INSERT ON summary_groups WHEN (SELECT count(*) FROM summary_groups WHERE day = NEW.day) >= (SELECT group_count FROM summary_days WHERE day = NEW.day) BEGIN SELECT RAISE(ABORT, 'reports are append-only: the day is published'); END;

-- What may be deleted of the records of readings is what the row says, the oldest of them, none younger than the shortest time
-- that the settings allow (30 days), by a moment that the database itself has reached (but for a day, as clocks differ).
CREATE TRIGGER personal_data_access_ended_in_time BEFORE INSERT ON personal_data_access_ended WHEN COALESCE(julianday(NEW.at) > julianday('now') + 1, 1) OR NEW.records <> (SELECT count(*) FROM personal_data_access WHERE id <= NEW.up_to) OR NOT EXISTS (SELECT 1 FROM personal_data_access WHERE id = NEW.up_to) OR EXISTS (SELECT 1 FROM personal_data_access WHERE id <= NEW.up_to AND COALESCE(julianday(at) > julianday(NEW.at) - 30, 1)) BEGIN SELECT RAISE(ABORT, 'records are append-only: they leave by retention, the oldest first'); END;

-- Money for a bill that no payment here accounts for: lost, or without a name of ours.
DROP INDEX discrepancies_lost;
CREATE INDEX discrepancies_of_bill ON discrepancies (invoice_id) WHERE payment_id IS NULL AND closed_at IS NULL;
