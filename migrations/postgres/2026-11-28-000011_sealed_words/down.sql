ALTER TABLE discrepancies DROP COLUMN sealed_reason;
ALTER TABLE refunds DROP COLUMN sealed_failure;
ALTER TABLE operations DROP COLUMN sealed_words;
