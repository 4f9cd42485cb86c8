DROP TABLE approvals;
DROP FUNCTION refuse_for_approval;
