CREATE TABLE events_old (
    id TEXT PRIMARY KEY NOT NULL,
    epoch BIGINT NOT NULL,
    position BIGINT NOT NULL,
    kind TEXT NOT NULL,
    payment_id TEXT NOT NULL REFERENCES payments (id),
    refund_id TEXT,
    sequence BIGINT NOT NULL,
    at TIMESTAMP NOT NULL
);
INSERT INTO events_old (id, epoch, position, kind, payment_id, refund_id, sequence, at)
SELECT id, epoch, position, kind, payment_id, refund_id, sequence, at FROM events WHERE payment_id IS NOT NULL;
DROP TABLE events;
ALTER TABLE events_old RENAME TO events;
CREATE UNIQUE INDEX events_feed ON events (epoch, position);
CREATE TRIGGER events_no_update BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'history is append-only'); END;

ALTER TABLE payments DROP COLUMN attention_raised;
