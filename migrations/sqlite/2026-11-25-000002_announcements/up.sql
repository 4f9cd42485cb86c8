-- Marks of all evidence that has called a person, one a line: the same evidence calls once, even after `attention` was
-- resolved.
ALTER TABLE payments ADD COLUMN attention_raised TEXT;

-- Events about notifications that belong to no payment: SQLite changes no constraint in place, so the table is built anew.
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
    CHECK ((payment_id IS NULL) = (sequence IS NULL)),
    CHECK (payment_id IS NOT NULL OR notification_id IS NOT NULL)
);
INSERT INTO events_new (id, epoch, position, kind, payment_id, refund_id, sequence, at)
SELECT id, epoch, position, kind, payment_id, refund_id, sequence, at FROM events;
DROP TABLE events;
ALTER TABLE events_new RENAME TO events;
CREATE UNIQUE INDEX events_feed ON events (epoch, position);
CREATE TRIGGER events_no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER events_no_replace BEFORE INSERT ON events WHEN EXISTS (SELECT 1 FROM events WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM events WHERE epoch = NEW.epoch AND position = NEW.position) BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
