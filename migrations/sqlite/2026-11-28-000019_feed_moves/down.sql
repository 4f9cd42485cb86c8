DROP VIEW feed_end;
DROP TABLE feed_moves;
