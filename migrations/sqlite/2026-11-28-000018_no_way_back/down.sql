DROP TRIGGER payments_no_way_back;
DROP TRIGGER transactions_no_way_back;
DROP TRIGGER refunds_no_way_back;
