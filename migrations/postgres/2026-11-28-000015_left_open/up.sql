-- Words from outside that earlier versions kept in the open and that payers who were erased before 000011 left behind. The
-- worker then empties the files of them, too.
UPDATE payer_keys SET cleaned_at = NULL WHERE erased_at IS NOT NULL AND id IN (SELECT payer_key_id FROM payments WHERE id IN (SELECT payment_id FROM operations WHERE note IS NOT NULL) OR id IN (SELECT payment_id FROM refunds WHERE failure IS NOT NULL) OR id IN (SELECT payment_id FROM discrepancies WHERE close_reason IS NOT NULL));
UPDATE operations SET note = NULL WHERE note IS NOT NULL AND payment_id IN (SELECT payments.id FROM payments JOIN payer_keys ON payer_keys.id = payments.payer_key_id WHERE payer_keys.erased_at IS NOT NULL);
UPDATE refunds SET failure = NULL WHERE failure IS NOT NULL AND payment_id IN (SELECT payments.id FROM payments JOIN payer_keys ON payer_keys.id = payments.payer_key_id WHERE payer_keys.erased_at IS NOT NULL);
UPDATE discrepancies SET close_reason = NULL WHERE close_reason IS NOT NULL AND payment_id IN (SELECT payments.id FROM payments JOIN payer_keys ON payer_keys.id = payments.payer_key_id WHERE payer_keys.erased_at IS NOT NULL);
-- The fingerprint of a request to erase tells whoever guesses the account that the guess is right.
UPDATE idempotency_keys SET fingerprint = CAST('' AS BYTEA) WHERE resource_id LIKE 'era_%';

-- REPLACE by the place of a row (rowid), and by a change, takes the row that is in its way without asking a trigger against
-- deletion. PostgreSQL knows no REPLACE.
