-- A search by account tells that somebody has payments: it is recorded like a reading.
ALTER TABLE personal_data_access DROP CONSTRAINT personal_data_access_action_check;
ALTER TABLE personal_data_access ADD CONSTRAINT personal_data_access_action_check CHECK (action IN ('export', 'payment', 'search'));
