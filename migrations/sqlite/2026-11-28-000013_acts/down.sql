CREATE TABLE events_old (
    id TEXT PRIMARY KEY NOT NULL,
    epoch BIGINT NOT NULL,
    position BIGINT NOT NULL,
    kind TEXT NOT NULL,
    payment_id TEXT REFERENCES payments (id),
    refund_id TEXT,
    sequence BIGINT,
    at TIMESTAMP NOT NULL,
    notification_id TEXT REFERENCES notifications (id),
    transaction_id BIGINT,
    CHECK ((payment_id IS NULL) = (sequence IS NULL)),
    CHECK (payment_id IS NOT NULL OR notification_id IS NOT NULL)
);
INSERT INTO events_old (id, epoch, position, kind, payment_id, refund_id, sequence, at, notification_id, transaction_id)
SELECT id, epoch, position, kind, payment_id, refund_id, sequence, at, notification_id, transaction_id FROM events WHERE subject_id IS NULL;
DELETE FROM history_unsealed WHERE sequence = 0 AND payment_id IN (SELECT id FROM events WHERE subject_id IS NOT NULL);
DROP TABLE events;
ALTER TABLE events_old RENAME TO events;
CREATE UNIQUE INDEX events_feed ON events (epoch, position);
CREATE INDEX events_row ON events (payment_id, sequence);
CREATE TRIGGER events_no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER events_no_replace BEFORE INSERT ON events WHEN EXISTS (SELECT 1 FROM events WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM events WHERE epoch = NEW.epoch AND position = NEW.position) BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER events_to_seal AFTER INSERT ON events WHEN NEW.payment_id IS NULL BEGIN INSERT INTO history_unsealed (payment_id, sequence) VALUES (NEW.id, 0); END;
