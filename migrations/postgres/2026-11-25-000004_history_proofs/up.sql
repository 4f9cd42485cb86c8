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
    root BYTEA NOT NULL,
    previous BYTEA NOT NULL,
    skip BYTEA NOT NULL,
    hash BYTEA NOT NULL,
    CHECK (number > 0 AND first_row > 0 AND row_count > 0)
);
CREATE INDEX history_seals_at ON history_seals (at);

-- Where each sealed row stands, and the hash of the row as it was sealed.
CREATE TABLE history_leaves (
    payment_id TEXT NOT NULL,
    sequence BIGINT NOT NULL,
    seal BIGINT NOT NULL REFERENCES history_seals (number),
    position BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    PRIMARY KEY (payment_id, sequence)
);
CREATE UNIQUE INDEX history_leaves_place ON history_leaves (seal, position);

CREATE FUNCTION queue_for_seal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO history_unsealed (payment_id, sequence) VALUES (NEW.payment_id, NEW.sequence); RETURN NULL; END $$;
CREATE FUNCTION refuse_removal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '% are not deleted', TG_TABLE_NAME; END $$;
CREATE TRIGGER transitions_to_seal AFTER INSERT ON transitions FOR EACH ROW EXECUTE FUNCTION queue_for_seal();
CREATE TRIGGER history_seals_no_update BEFORE UPDATE OR DELETE ON history_seals FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER history_seals_no_truncate BEFORE TRUNCATE ON history_seals FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER history_leaves_no_update BEFORE UPDATE OR DELETE ON history_leaves FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER history_leaves_no_truncate BEFORE TRUNCATE ON history_leaves FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER events_no_truncate BEFORE TRUNCATE ON events FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER transactions_no_delete BEFORE DELETE ON transactions FOR EACH ROW EXECUTE FUNCTION refuse_removal();
CREATE TRIGGER transactions_no_truncate BEFORE TRUNCATE ON transactions FOR EACH STATEMENT EXECUTE FUNCTION refuse_removal();
CREATE TRIGGER notifications_no_delete BEFORE DELETE ON notifications FOR EACH ROW EXECUTE FUNCTION refuse_removal();
CREATE TRIGGER notifications_no_truncate BEFORE TRUNCATE ON notifications FOR EACH STATEMENT EXECUTE FUNCTION refuse_removal();

-- What was recorded before there were seals is sealed by the first steps.
INSERT INTO history_unsealed (payment_id, sequence) SELECT payment_id, sequence FROM transitions;
