-- Seals over the history: see docs/history-proofs.md.

-- Rows of the history that no seal covers yet. A trigger fills it in the transaction that appends the row.
CREATE TABLE history_unsealed (
    payment_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (payment_id, sequence)
);

-- One row for each batch of sealed rows, each holding the hash of the one before.
CREATE TABLE history_seals (
    number BIGINT PRIMARY KEY NOT NULL,
    at TIMESTAMP NOT NULL,
    first_row BIGINT NOT NULL,
    row_count BIGINT NOT NULL,
    root BLOB NOT NULL,
    previous BLOB NOT NULL,
    skip BLOB NOT NULL,
    hash BLOB NOT NULL,
    CHECK (number > 0 AND first_row > 0 AND row_count > 0)
);
CREATE INDEX history_seals_at ON history_seals (at);

-- Where each sealed row stands, and the hash of the row as it was sealed.
CREATE TABLE history_leaves (
    payment_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    seal BIGINT NOT NULL REFERENCES history_seals (number),
    position BIGINT NOT NULL,
    hash BLOB NOT NULL,
    PRIMARY KEY (payment_id, sequence)
);
CREATE UNIQUE INDEX history_leaves_place ON history_leaves (seal, position);

CREATE TRIGGER transitions_to_seal AFTER INSERT ON transitions BEGIN INSERT INTO history_unsealed (payment_id, sequence) VALUES (NEW.payment_id, NEW.sequence); END;
CREATE TRIGGER history_seals_no_update BEFORE UPDATE ON history_seals BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER history_seals_no_delete BEFORE DELETE ON history_seals BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER history_leaves_no_update BEFORE UPDATE ON history_leaves BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER history_leaves_no_delete BEFORE DELETE ON history_leaves BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER transactions_no_delete BEFORE DELETE ON transactions BEGIN SELECT RAISE(ABORT, 'transactions are not deleted'); END;
CREATE TRIGGER notifications_no_delete BEFORE DELETE ON notifications BEGIN SELECT RAISE(ABORT, 'notifications are not deleted'); END;

-- What was recorded before there were seals is sealed by the first steps.
INSERT INTO history_unsealed (payment_id, sequence) SELECT payment_id, sequence FROM transitions;
