-- Until when somebody who asks about a lost call has it for themselves; afterwards, when they were done. A moment in the
-- future with nobody at it shows that the clock was set back.
ALTER TABLE operations ADD COLUMN asked_until TIMESTAMP;
