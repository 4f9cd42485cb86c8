-- The feed's order is the numbers of transactions, which one server counts. After a move by dump to another server that
-- counts from the beginning, what is written comes before what was shown. So each such move that a start notices is noted
-- here, and all that is written from then on stands that far behind: see src/store/moved.rs. SQLite has no such numbers.
CREATE TABLE feed_moves (
    bias BIGINT PRIMARY KEY NOT NULL CHECK (bias > 0),
    at TIMESTAMP NOT NULL
);
CREATE VIEW feed_end AS SELECT 1 AS shown, 1 AS written;
CREATE TRIGGER feed_moves_as_found BEFORE INSERT ON feed_moves BEGIN SELECT RAISE(ABORT, 'the feed was not moved'); END;
