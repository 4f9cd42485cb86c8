DROP TABLE summary_groups;
DROP TABLE summary_days;
DROP INDEX chargebacks_day;
DROP INDEX transitions_ended;
DROP INDEX transactions_moved;
ALTER TABLE transactions DROP COLUMN payout_at;
ALTER TABLE transactions DROP COLUMN payout;
ALTER TABLE transactions DROP COLUMN fee;
ALTER TABLE transactions DROP COLUMN moved_at;
