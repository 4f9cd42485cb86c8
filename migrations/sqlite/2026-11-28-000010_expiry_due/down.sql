ALTER TABLE payments DROP COLUMN expiry_due_at;
