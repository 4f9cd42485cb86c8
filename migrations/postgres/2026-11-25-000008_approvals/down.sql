DROP TABLE approvals;
DROP FUNCTION refuse_other_request;
DROP FUNCTION refuse_second_decision;
