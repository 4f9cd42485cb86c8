ALTER TABLE personal_data_access DROP CONSTRAINT personal_data_access_action_check;
ALTER TABLE personal_data_access DISABLE TRIGGER personal_data_access_no_delete;
DELETE FROM personal_data_access WHERE action = 'search';
ALTER TABLE personal_data_access ENABLE TRIGGER personal_data_access_no_delete;
ALTER TABLE personal_data_access ADD CONSTRAINT personal_data_access_action_check CHECK (action IN ('export', 'payment'));
