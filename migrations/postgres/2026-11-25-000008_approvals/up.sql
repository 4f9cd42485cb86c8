-- What one key asks for and another key allows: refunds above a sum, corrections of calls whose end cannot be found out.
CREATE TABLE approvals (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('refund', 'correction')),
    payment_id TEXT NOT NULL REFERENCES payments (id),
    -- Of a refund: how much.
    currency TEXT,
    amount BIGINT CHECK (amount > 0),
    -- Of a correction: the call, and what is asserted of it.
    operation_id TEXT REFERENCES operations (id),
    outcome TEXT CHECK (outcome IN ('no_effect')),
    -- The refund that was made by approval. Of a correction: the refund whose call it is, if it is one.
    refund_id TEXT REFERENCES refunds (id),
    -- Words of a person, under the key of the payment's payer.
    sealed_reason BYTEA,
    -- The key, and the first key of its line: a successor is the same caller.
    requested_by TEXT NOT NULL,
    requester TEXT NOT NULL,
    requested_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'approved', 'rejected', 'expired')),
    decided_by TEXT,
    decider TEXT,
    decided_at TIMESTAMP,
    -- Nobody decides about a request of their own.
    CHECK (decided_by <> requested_by AND decider <> requester),
    CHECK ((state IN ('approved', 'rejected')) = (decided_by IS NOT NULL)),
    CHECK ((decided_by IS NULL) = (decider IS NULL)),
    CHECK ((decided_by IS NULL) = (decided_at IS NULL)),
    CHECK (decided_at IS NULL OR decided_at < expires_at),
    CHECK ((kind = 'refund') = (amount IS NOT NULL)),
    CHECK ((amount IS NULL) = (currency IS NULL)),
    CHECK ((kind = 'correction') = (operation_id IS NOT NULL)),
    CHECK ((operation_id IS NULL) = (outcome IS NULL)),
    CHECK (kind = 'correction' OR (state = 'approved') = (refund_id IS NOT NULL))
);
CREATE INDEX approvals_payment ON approvals (payment_id, id);
CREATE INDEX approvals_pending ON approvals (expires_at) WHERE state = 'pending';
CREATE UNIQUE INDEX approvals_one_pending ON approvals (operation_id) WHERE state = 'pending';
-- A call is corrected once, and a refund stands behind one approval.
CREATE UNIQUE INDEX approvals_one_correction ON approvals (operation_id) WHERE state = 'approved';
CREATE UNIQUE INDEX approvals_one_refund ON approvals (refund_id) WHERE kind = 'refund';

CREATE FUNCTION refuse_for_approval() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'an approval %', TG_ARGV[0]; END $$;
CREATE TRIGGER approvals_as_requested BEFORE UPDATE OF id, kind, payment_id, currency, amount, operation_id, outcome, requested_by, requester, requested_at, expires_at ON approvals FOR EACH ROW EXECUTE FUNCTION refuse_for_approval('stays as it was requested');
CREATE TRIGGER approvals_final BEFORE UPDATE OF state, refund_id, decided_by, decider, decided_at ON approvals FOR EACH ROW WHEN (OLD.state <> 'pending') EXECUTE FUNCTION refuse_for_approval('is decided once');
CREATE TRIGGER approvals_no_delete BEFORE DELETE ON approvals FOR EACH ROW EXECUTE FUNCTION refuse_for_approval('is not deleted');
CREATE TRIGGER approvals_no_truncate BEFORE TRUNCATE ON approvals FOR EACH STATEMENT EXECUTE FUNCTION refuse_for_approval('is not deleted');
