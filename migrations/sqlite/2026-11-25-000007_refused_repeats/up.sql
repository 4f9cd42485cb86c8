-- When a repeat of a lost call was refused: from then on nothing is sent for it, so it is known when the provider can no
-- longer be working on it.
ALTER TABLE operations ADD COLUMN refused_at TIMESTAMP;

-- Method and path of the request; NULL in old rows. Of an erased payer it is what still tells one request from another.
ALTER TABLE idempotency_keys ADD COLUMN endpoint TEXT;
