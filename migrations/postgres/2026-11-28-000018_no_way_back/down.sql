DROP TRIGGER payments_no_way_back ON payments;
DROP TRIGGER transactions_no_way_back ON transactions;
DROP TRIGGER refunds_no_way_back ON refunds;
DROP FUNCTION refuse_undeclared_moves;
DROP FUNCTION refuse_going_back;
