-- Runs that compare our transactions with the provider's register. A running one has a moment at which somebody goes on
-- with it (due_at): it is the lease of whoever works on it, too.
CREATE TABLE reconciliations (
    id TEXT PRIMARY KEY NOT NULL,
    purpose TEXT NOT NULL CHECK (purpose IN ('requested', 'daily', 'gap', 'recheck')),
    -- The UTC day that a daily run is for, as 2026-11-24.
    day TEXT,
    window_from TIMESTAMP NOT NULL,
    window_to TIMESTAMP NOT NULL,
    requested_by TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'completed', 'failed')),
    phase TEXT NOT NULL CHECK (phase IN ('register', 'unseen', 'holds', 'chargebacks')),
    next_page BIGINT NOT NULL CHECK (next_page > 0),
    -- The last of our records that the phases 'unseen' and 'holds' have dealt with.
    position TEXT,
    compared BIGINT NOT NULL,
    unreadable BIGINT NOT NULL,
    -- Transactions that name payments or refunds of ours which this database does not hold.
    lost BIGINT NOT NULL,
    -- Questions about single transactions.
    asked BIGINT NOT NULL,
    chargebacks BIGINT NOT NULL,
    -- Tries in a row that came to nothing, and why the last one did.
    failures INTEGER NOT NULL,
    reason TEXT,
    due_at TIMESTAMP,
    started_at TIMESTAMP NOT NULL,
    finished_at TIMESTAMP,
    CHECK (window_from <= window_to),
    CHECK ((state = 'running') = (due_at IS NOT NULL)),
    CHECK ((state = 'running') = (finished_at IS NULL)),
    CHECK ((purpose = 'daily') = (day IS NOT NULL))
);
CREATE INDEX reconciliations_due ON reconciliations (due_at) WHERE due_at IS NOT NULL;
-- A day is compared once; a run that failed makes room for another.
CREATE UNIQUE INDEX reconciliations_day ON reconciliations (day) WHERE day IS NOT NULL AND state <> 'failed';

-- Transactions that a run saw in the register; gone when the run is over.
CREATE TABLE register_marks (
    reconciliation_id TEXT NOT NULL REFERENCES reconciliations (id),
    transaction_id BIGINT NOT NULL,
    PRIMARY KEY (reconciliation_id, transaction_id)
);

-- What our books and the provider's register do not agree about. Opened and closed once; what comes back is a new row.
CREATE TABLE discrepancies (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('missing_here', 'missing_there', 'amount_mismatch', 'currency_mismatch',
        'status_mismatch', 'duplicate', 'refund_in_cabinet')),
    transaction_id BIGINT NOT NULL,
    payment_id TEXT,
    -- What the provider's record says of itself; the payment may be one that this database does not hold.
    named_payment_id TEXT,
    invoice_id TEXT,
    -- It names a payment or a refund of ours that this database does not hold.
    lost BOOLEAN NOT NULL,
    ours_status TEXT,
    ours_currency TEXT,
    ours_amount BIGINT,
    theirs_status TEXT,
    theirs_currency TEXT,
    theirs_amount BIGINT,
    opened_by TEXT NOT NULL REFERENCES reconciliations (id),
    opened_at TIMESTAMP NOT NULL,
    resolution TEXT CHECK (resolution IN ('booked', 'agrees', 'superseded', 'operator')),
    -- The run or, for 'operator', the API key.
    closed_by TEXT,
    close_reason TEXT,
    closed_at TIMESTAMP,
    CHECK ((closed_at IS NULL) = (resolution IS NULL)),
    CHECK ((closed_at IS NULL) = (closed_by IS NULL)),
    CHECK ((ours_amount IS NULL) = (ours_currency IS NULL)),
    CHECK ((theirs_amount IS NULL) = (theirs_currency IS NULL)),
    CHECK (close_reason IS NULL OR resolution = 'operator')
);
CREATE UNIQUE INDEX discrepancies_open ON discrepancies (transaction_id, kind) WHERE closed_at IS NULL;
CREATE INDEX discrepancies_transaction ON discrepancies (transaction_id);
CREATE INDEX discrepancies_payment ON discrepancies (payment_id, id);
CREATE INDEX discrepancies_opened_by ON discrepancies (opened_by);
CREATE INDEX discrepancies_closed_by ON discrepancies (closed_by);
-- Bills for which money was taken by a payment that is lost.
CREATE INDEX discrepancies_lost ON discrepancies (invoice_id) WHERE lost AND closed_at IS NULL;

-- Payments that the payer's bank takes back, as the provider lists them.
CREATE TABLE chargebacks (
    id TEXT PRIMARY KEY NOT NULL,
    provider_id TEXT NOT NULL,
    operation TEXT NOT NULL,
    kind TEXT NOT NULL,
    transaction_id BIGINT NOT NULL,
    payment_id TEXT,
    currency TEXT,
    amount BIGINT,
    raised_at TIMESTAMP,
    found_by TEXT NOT NULL REFERENCES reconciliations (id),
    found_at TIMESTAMP NOT NULL,
    UNIQUE (provider_id, operation, kind),
    CHECK ((amount IS NULL) = (currency IS NULL))
);
CREATE INDEX chargebacks_payment ON chargebacks (payment_id, id);
CREATE INDEX chargebacks_unresolved ON chargebacks (transaction_id) WHERE payment_id IS NULL;
