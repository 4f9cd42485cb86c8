-- Amounts are minor units (tiyn for KZT). Times are UTC. Ids are made by the service. BLOBs are sealed by the vault.
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    secret_hash BLOB NOT NULL,
    scopes TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP,
    revoked_at TIMESTAMP
);

-- Every allowed move of a payment; filled from the table in src/domain/state.rs and compared with it by a test.
CREATE TABLE transition_edges (
    from_status TEXT NOT NULL,
    to_status TEXT NOT NULL,
    PRIMARY KEY (from_status, to_status)
);

CREATE TABLE payments (
    id TEXT PRIMARY KEY NOT NULL,
    sequence BIGINT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('awaiting_payer', 'processing', 'awaiting_authentication', 'authorized', 'paid',
        'partially_refunded', 'refunded', 'declined', 'cancelled', 'expired')),
    decide_by TIMESTAMP,
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    amount BIGINT NOT NULL CHECK (amount > 0),
    authorized BIGINT NOT NULL,
    captured BIGINT NOT NULL,
    refunded BIGINT NOT NULL,
    refund_pending BIGINT NOT NULL,
    refund_excess BIGINT NOT NULL,
    invoice_id TEXT NOT NULL,
    account_hash TEXT,
    description TEXT NOT NULL,
    capture_mode TEXT NOT NULL CHECK (capture_mode IN ('automatic', 'manual')),
    language TEXT NOT NULL CHECK (language IN ('kk', 'ru', 'en')),
    method TEXT NOT NULL CHECK (method IN ('widget', 'card_cryptogram')),
    return_url TEXT,
    metadata TEXT NOT NULL,
    payer BLOB NOT NULL,
    three_ds BLOB,
    attention TEXT,
    test_mode BOOLEAN,
    created_by TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    expires_at TIMESTAMP NOT NULL,
    CHECK (sequence > 0),
    CHECK (authorized >= 0 AND captured >= 0 AND refunded >= 0 AND refund_pending >= 0 AND refund_excess >= 0),
    -- Nothing is taken or held beyond what was asked for.
    CHECK (authorized <= amount AND captured <= amount),
    -- Nothing is given back beyond what was taken. The excess is written by evidence alone, never by a request.
    CHECK (refunded + refund_pending <= captured + refund_excess),
    CHECK ((captured > 0) = (status IN ('paid', 'partially_refunded', 'refunded'))),
    CHECK (status <> 'authorized' OR authorized > 0),
    CHECK (status <> 'paid' OR refunded = 0),
    CHECK (status <> 'partially_refunded' OR (refunded > 0 AND refunded < captured)),
    CHECK (status <> 'refunded' OR refunded >= captured)
);
CREATE INDEX payments_invoice ON payments (invoice_id, id);
CREATE INDEX payments_account ON payments (account_hash, id);
CREATE INDEX payments_status ON payments (status, id);
-- What the expiry worker looks for.
CREATE INDEX payments_open ON payments (status, expires_at) WHERE status IN ('awaiting_payer', 'awaiting_authentication');

CREATE TABLE refunds (
    id TEXT PRIMARY KEY NOT NULL,
    payment_id TEXT NOT NULL REFERENCES payments (id),
    parent_transaction_id BIGINT NOT NULL,
    currency TEXT NOT NULL,
    amount BIGINT NOT NULL CHECK (amount > 0),
    status TEXT NOT NULL CHECK (status IN ('pending', 'succeeded', 'failed')),
    decide_by TIMESTAMP,
    reason TEXT,
    failure TEXT,
    transaction_id BIGINT UNIQUE,
    created_by TEXT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    CHECK (decide_by IS NULL OR status = 'pending'),
    CHECK ((transaction_id IS NOT NULL) = (status = 'succeeded'))
);
CREATE INDEX refunds_payment ON refunds (payment_id, id);

-- What the provider did, one row for each of its transactions.
CREATE TABLE transactions (
    id TEXT PRIMARY KEY NOT NULL,
    payment_id TEXT NOT NULL REFERENCES payments (id),
    transaction_id BIGINT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('payment', 'refund')),
    status TEXT NOT NULL CHECK (status IN ('checked', 'awaiting_authentication', 'declined', 'authorized', 'voided', 'completed')),
    currency TEXT NOT NULL,
    amount BIGINT NOT NULL CHECK (amount > 0),
    captured BIGINT NOT NULL CHECK (captured >= 0),
    parent_transaction_id BIGINT,
    refund_id TEXT UNIQUE REFERENCES refunds (id),
    reason_code INTEGER,
    card_brand TEXT,
    card_first_six TEXT,
    card_last_four TEXT,
    card_issuer TEXT,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    CHECK ((captured > 0) = (kind = 'payment' AND status = 'completed')),
    CHECK (captured <= amount),
    CHECK ((kind = 'refund') = (parent_transaction_id IS NOT NULL)),
    CHECK (refund_id IS NULL OR kind = 'refund')
);
CREATE INDEX transactions_payment ON transactions (payment_id);

-- Each attempt of each call to the provider, written before it is sent; the id goes as X-Request-ID.
CREATE TABLE operations (
    id TEXT PRIMARY KEY NOT NULL,
    payment_id TEXT NOT NULL REFERENCES payments (id),
    refund_id TEXT REFERENCES refunds (id),
    kind TEXT NOT NULL CHECK (kind IN ('charge', 'authorize', 'three_ds', 'capture', 'void', 'refund')),
    transaction_id BIGINT,
    amount BIGINT CHECK (amount > 0),
    state TEXT NOT NULL CHECK (state IN ('started', 'settled', 'not_sent', 'undetermined')),
    started_at TIMESTAMP NOT NULL,
    due_at TIMESTAMP,
    lookups INTEGER NOT NULL,
    note TEXT,
    CHECK ((kind = 'refund') = (refund_id IS NOT NULL)),
    CHECK ((state IN ('started', 'undetermined')) = (due_at IS NOT NULL))
);
CREATE INDEX operations_payment ON operations (payment_id);
-- One charge, capture or void at a time for a payment; one call at a time for a refund.
CREATE UNIQUE INDEX operations_one_open ON operations (payment_id) WHERE kind <> 'refund' AND state IN ('started', 'undetermined');
CREATE UNIQUE INDEX operations_one_open_refund ON operations (refund_id) WHERE kind = 'refund' AND state IN ('started', 'undetermined');
CREATE INDEX operations_due ON operations (due_at) WHERE due_at IS NOT NULL;

-- The history: appended in the transaction that made the change, never changed (triggers below).
CREATE TABLE transitions (
    payment_id TEXT NOT NULL REFERENCES payments (id),
    sequence BIGINT NOT NULL,
    from_status TEXT NOT NULL,
    to_status TEXT NOT NULL,
    cause_type TEXT NOT NULL,
    cause_id TEXT,
    actor TEXT NOT NULL,
    transaction_id BIGINT,
    detail TEXT NOT NULL,
    at TIMESTAMP NOT NULL,
    PRIMARY KEY (payment_id, sequence),
    FOREIGN KEY (from_status, to_status) REFERENCES transition_edges (from_status, to_status)
);

-- What the site is told, written with the change that it tells of. The feed is read in the order (epoch, position), to
-- which rows are only ever added at the end: see src/store/events.rs.
CREATE TABLE events (
    id TEXT PRIMARY KEY NOT NULL,
    epoch BIGINT NOT NULL,
    position BIGINT NOT NULL,
    kind TEXT NOT NULL,
    payment_id TEXT NOT NULL REFERENCES payments (id),
    refund_id TEXT,
    sequence BIGINT NOT NULL,
    at TIMESTAMP NOT NULL
);
CREATE UNIQUE INDEX events_feed ON events (epoch, position);

CREATE TABLE idempotency_keys (
    api_key_id TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    resource_id TEXT NOT NULL,
    operation_id TEXT,
    locked_until TIMESTAMP NOT NULL,
    status INTEGER,
    location TEXT,
    body BLOB,
    created_at TIMESTAMP NOT NULL,
    PRIMARY KEY (api_key_id, idempotency_key),
    CHECK ((status IS NULL) = (body IS NULL))
);

-- Verified notifications; a repeat finds its digest here.
CREATE TABLE notifications (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    digest BLOB NOT NULL,
    is_json BOOLEAN NOT NULL,
    body BLOB NOT NULL,
    payment_id TEXT,
    transaction_id BIGINT,
    parent_transaction_id BIGINT,
    verdict TEXT NOT NULL,
    reply INTEGER NOT NULL,
    received_at TIMESTAMP NOT NULL,
    UNIQUE (kind, digest)
);
CREATE INDEX notifications_payment ON notifications (payment_id);
CREATE INDEX notifications_transaction ON notifications (transaction_id);
-- What came before the payment it is about was known.
CREATE INDEX notifications_unmatched ON notifications (parent_transaction_id) WHERE verdict = 'unmatched';
CREATE INDEX notifications_unmatched_own ON notifications (transaction_id) WHERE verdict = 'unmatched';

-- Notifications whose signature did not hold; bounded, oldest go first.
CREATE TABLE quarantine (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    body BLOB NOT NULL,
    received_at TIMESTAMP NOT NULL
);

CREATE TRIGGER transitions_no_update BEFORE UPDATE ON transitions BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER transitions_no_delete BEFORE DELETE ON transitions BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER events_no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER transitions_no_replace BEFORE INSERT ON transitions WHEN EXISTS (SELECT 1 FROM transitions WHERE payment_id = NEW.payment_id AND sequence = NEW.sequence) BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER payments_no_delete BEFORE DELETE ON payments BEGIN SELECT RAISE(ABORT, 'payments are not deleted'); END;

INSERT INTO transition_edges (from_status, to_status) VALUES
    ('none', 'awaiting_payer'),
    ('none', 'processing'),
    ('awaiting_payer', 'awaiting_payer'),
    ('awaiting_payer', 'authorized'),
    ('awaiting_payer', 'paid'),
    ('awaiting_payer', 'cancelled'),
    ('awaiting_payer', 'expired'),
    ('awaiting_payer', 'partially_refunded'),
    ('awaiting_payer', 'refunded'),
    ('processing', 'processing'),
    ('processing', 'awaiting_authentication'),
    ('processing', 'authorized'),
    ('processing', 'paid'),
    ('processing', 'partially_refunded'),
    ('processing', 'refunded'),
    ('processing', 'declined'),
    ('processing', 'cancelled'),
    ('processing', 'expired'),
    ('awaiting_authentication', 'awaiting_authentication'),
    ('awaiting_authentication', 'processing'),
    ('awaiting_authentication', 'authorized'),
    ('awaiting_authentication', 'paid'),
    ('awaiting_authentication', 'partially_refunded'),
    ('awaiting_authentication', 'refunded'),
    ('awaiting_authentication', 'declined'),
    ('awaiting_authentication', 'cancelled'),
    ('awaiting_authentication', 'expired'),
    ('authorized', 'authorized'),
    ('authorized', 'paid'),
    ('authorized', 'partially_refunded'),
    ('authorized', 'refunded'),
    ('authorized', 'cancelled'),
    ('paid', 'paid'),
    ('paid', 'partially_refunded'),
    ('paid', 'refunded'),
    ('partially_refunded', 'partially_refunded'),
    ('partially_refunded', 'refunded'),
    ('partially_refunded', 'paid'),
    ('refunded', 'refunded'),
    ('refunded', 'partially_refunded'),
    ('refunded', 'paid'),
    ('declined', 'declined'),
    ('declined', 'authorized'),
    ('declined', 'paid'),
    ('declined', 'partially_refunded'),
    ('declined', 'refunded'),
    ('declined', 'cancelled'),
    ('cancelled', 'cancelled'),
    ('cancelled', 'authorized'),
    ('cancelled', 'paid'),
    ('cancelled', 'partially_refunded'),
    ('cancelled', 'refunded'),
    ('cancelled', 'declined'),
    ('expired', 'expired'),
    ('expired', 'authorized'),
    ('expired', 'paid'),
    ('expired', 'partially_refunded'),
    ('expired', 'refunded'),
    ('expired', 'cancelled'),
    ('expired', 'declined');
