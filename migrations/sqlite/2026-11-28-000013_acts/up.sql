-- Events that tell what somebody did to something that belongs to no payment: the key or the discrepancy, and the actor.
-- SQLite changes no constraint in place, so the table is built anew.
CREATE TABLE events_new (
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
    subject_id TEXT,
    actor TEXT,
    CHECK ((payment_id IS NULL) = (sequence IS NULL)),
    CHECK ((subject_id IS NULL) = (actor IS NULL)),
    CHECK (subject_id IS NULL OR payment_id IS NULL),
    CHECK (payment_id IS NOT NULL OR notification_id IS NOT NULL OR subject_id IS NOT NULL)
);
INSERT INTO events_new (id, epoch, position, kind, payment_id, refund_id, sequence, at, notification_id, transaction_id)
SELECT id, epoch, position, kind, payment_id, refund_id, sequence, at, notification_id, transaction_id FROM events;
DROP TABLE events;
ALTER TABLE events_new RENAME TO events;
CREATE UNIQUE INDEX events_feed ON events (epoch, position);
CREATE INDEX events_row ON events (payment_id, sequence);
CREATE TRIGGER events_no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER events_no_replace BEFORE INSERT ON events WHEN EXISTS (SELECT 1 FROM events WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM events WHERE epoch = NEW.epoch AND position = NEW.position) BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER events_to_seal AFTER INSERT ON events WHEN NEW.payment_id IS NULL BEGIN INSERT INTO history_unsealed (payment_id, sequence) VALUES (NEW.id, 0); END;
