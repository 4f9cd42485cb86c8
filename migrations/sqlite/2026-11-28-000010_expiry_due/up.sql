-- When to look next at a payment whose time is over and that could not be ended; NULL: at once.
ALTER TABLE payments ADD COLUMN expiry_due_at TIMESTAMP;
