-- The feed's order is the numbers of transactions, which one server counts. After a move by dump to another server that
-- counts from the beginning, what is written comes before what was shown. So each such move that a start notices is noted
-- here, and all that is written from then on stands that far behind: see src/store/moved.rs. SQLite has no such numbers.
CREATE TABLE feed_moves (
    bias BIGINT PRIMARY KEY NOT NULL CHECK (bias > 0),
    at TIMESTAMP NOT NULL
);
CREATE VIEW feed_end AS SELECT txid_snapshot_xmin(s) + bias AS shown, txid_snapshot_xmax(s) + bias AS written FROM (SELECT txid_current_snapshot() AS s, (SELECT COALESCE(max(bias), 0) FROM feed_moves) AS bias) AS now;
CREATE FUNCTION refuse_needless_moves() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.bias = (SELECT max(epoch) FROM events WHERE epoch < 4611686018427387904) AND NEW.bias >= (SELECT written FROM feed_end) THEN RETURN NEW; END IF; RAISE EXCEPTION 'the feed was not moved'; END $$;
CREATE TRIGGER feed_moves_as_found BEFORE INSERT ON feed_moves FOR EACH ROW EXECUTE FUNCTION refuse_needless_moves();
CREATE TRIGGER feed_moves_no_update BEFORE UPDATE OR DELETE ON feed_moves FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER feed_moves_no_truncate BEFORE TRUNCATE ON feed_moves FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
