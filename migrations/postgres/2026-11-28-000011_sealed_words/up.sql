-- Words from outside that may tell of a person, sealed by the key of the payer.
-- What the provider said when it refused a call; note is in our own words, except in old rows.
ALTER TABLE operations ADD COLUMN sealed_words BYTEA;
-- Why a refund failed; the column failure is in use in old rows only.
ALTER TABLE refunds ADD COLUMN sealed_failure BYTEA;
-- Why an operator closed it; by the vault itself where there is no payment. close_reason is in use in old rows only.
ALTER TABLE discrepancies ADD COLUMN sealed_reason BYTEA;
