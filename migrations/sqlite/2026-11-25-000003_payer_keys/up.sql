-- The data key of each payer, itself sealed by the vault. All personal data of a payer is sealed by it, so whoever
-- overwrites wrapped_key erases the payer. A payer is an account, else a payment, else a notification of no known payment.
CREATE TABLE payer_keys (
    -- The payment or notification it was made for.
    id TEXT PRIMARY KEY NOT NULL,
    -- The keyed hash by which the account is found. Two processes may make a key each for one account: both are its keys.
    account_hash TEXT,
    -- The account's id, sealed by the key itself: a change of keys makes the hash anew.
    account BLOB,
    wrapped_key BLOB,
    created_at TIMESTAMP NOT NULL,
    erased_at TIMESTAMP,
    -- When the last trace of an erased payer was removed from the tables and from the files.
    cleaned_at TIMESTAMP,
    CHECK ((wrapped_key IS NULL) = (erased_at IS NOT NULL)),
    CHECK ((account_hash IS NULL) = (account IS NULL)),
    CHECK (erased_at IS NULL OR account IS NULL),
    CHECK (cleaned_at IS NULL OR erased_at IS NOT NULL)
);
CREATE INDEX payer_keys_account ON payer_keys (account_hash, id) WHERE account_hash IS NOT NULL;
CREATE INDEX payer_keys_to_clean ON payer_keys (id) WHERE erased_at IS NOT NULL AND cleaned_at IS NULL;

-- NULL: written before payers had keys. Such a row is sealed by the vault itself, and description, metadata, return_url
-- and account_hash are in use; in all other rows the sealed payer holds them.
ALTER TABLE payments ADD COLUMN payer_key_id TEXT REFERENCES payer_keys (id);
DROP INDEX payments_account;
CREATE INDEX payments_account ON payments (account_hash, id) WHERE account_hash IS NOT NULL;
CREATE INDEX payments_payer ON payments (payer_key_id, id);
CREATE INDEX payments_without_key ON payments (id) WHERE payer_key_id IS NULL;

-- The reason, sealed; the column reason is in use in old rows only.
ALTER TABLE refunds ADD COLUMN sealed_reason BLOB;

ALTER TABLE idempotency_keys ADD COLUMN payment_id TEXT;
CREATE INDEX idempotency_keys_payment ON idempotency_keys (payment_id);
-- Kept answers that end some time after their payment.
CREATE INDEX idempotency_keys_answers ON idempotency_keys (payment_id) WHERE body IS NOT NULL;

-- NULL: written before payers had keys, or the body has ended.
ALTER TABLE notifications ADD COLUMN payer_key_id TEXT;
CREATE INDEX notifications_bodies ON notifications (received_at) WHERE payer_key_id IS NOT NULL;

-- Who erased a payer, and how much of it there was. Holds no personal data.
CREATE TABLE personal_data_erasures (
    id TEXT PRIMARY KEY NOT NULL,
    cause TEXT NOT NULL CHECK (cause IN ('request', 'retention')),
    api_key_id TEXT,
    request_id TEXT,
    payers BIGINT NOT NULL,
    payments BIGINT NOT NULL,
    notifications BIGINT NOT NULL,
    at TIMESTAMP NOT NULL,
    CHECK ((cause = 'request') = (api_key_id IS NOT NULL))
);

-- Who read personal data: an export of a payer, or a payment that the reader's key did not create.
CREATE TABLE personal_data_access (
    id TEXT PRIMARY KEY NOT NULL,
    action TEXT NOT NULL CHECK (action IN ('export', 'payment')),
    api_key_id TEXT NOT NULL,
    request_id TEXT,
    payer_key_id TEXT,
    payment_id TEXT,
    at TIMESTAMP NOT NULL
);

CREATE TRIGGER personal_data_erasures_no_update BEFORE UPDATE ON personal_data_erasures BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
CREATE TRIGGER personal_data_erasures_no_delete BEFORE DELETE ON personal_data_erasures BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
CREATE TRIGGER personal_data_access_no_update BEFORE UPDATE ON personal_data_access BEGIN SELECT RAISE(ABORT, 'records are append-only'); END;
