DROP VIEW feed_end;
DROP TABLE feed_moves;
DROP FUNCTION refuse_needless_moves;
