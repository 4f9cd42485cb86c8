-- What an accountant asks of a transaction: when its outcome came about, and what the provider tells of fee and payout in
-- minor units of the transaction's currency. Of older rows only the moment we last learned something is known.
ALTER TABLE transactions ADD COLUMN moved_at TIMESTAMP;
ALTER TABLE transactions ADD COLUMN fee BIGINT;
ALTER TABLE transactions ADD COLUMN payout BIGINT;
ALTER TABLE transactions ADD COLUMN payout_at TIMESTAMP;
UPDATE transactions SET moved_at = updated_at WHERE status IN ('declined', 'voided', 'completed');
CREATE INDEX transactions_moved ON transactions (moved_at, id) WHERE moved_at IS NOT NULL;
-- Payments that ended without money, for the summary.
CREATE INDEX transitions_ended ON transitions (at) WHERE to_status IN ('cancelled', 'expired');
CREATE INDEX chargebacks_day ON chargebacks (raised_at, found_at);

-- Business days whose summary is published. What is published is never published differently: see docs/reports.md.
CREATE TABLE summary_days (
    -- In Almaty, as 2026-11-24.
    day TEXT PRIMARY KEY NOT NULL,
    published_at TIMESTAMP NOT NULL
);

-- The published groups: nothing under five.
CREATE TABLE summary_groups (
    day TEXT NOT NULL REFERENCES summary_days (day),
    currency TEXT NOT NULL CHECK (length(currency) = 3),
    status TEXT NOT NULL CHECK (status IN ('paid', 'refunded', 'declined', 'cancelled', 'expired')),
    -- What the group is a part by; 'all' for the whole.
    dimension TEXT NOT NULL CHECK (dimension IN ('all', 'brand', 'method', 'category')),
    -- Which part; empty for the whole, and for all parts together that are not published apart.
    part TEXT NOT NULL,
    members BIGINT NOT NULL CHECK (members >= 5),
    amount BIGINT NOT NULL CHECK (amount > 0),
    PRIMARY KEY (day, currency, status, dimension, part)
);
CREATE TRIGGER summary_days_no_update BEFORE UPDATE ON summary_days BEGIN SELECT RAISE(ABORT, 'reports are append-only'); END;
CREATE TRIGGER summary_days_no_delete BEFORE DELETE ON summary_days BEGIN SELECT RAISE(ABORT, 'reports are append-only'); END;
CREATE TRIGGER summary_groups_no_update BEFORE UPDATE ON summary_groups BEGIN SELECT RAISE(ABORT, 'reports are append-only'); END;
CREATE TRIGGER summary_groups_no_delete BEFORE DELETE ON summary_groups BEGIN SELECT RAISE(ABORT, 'reports are append-only'); END;
