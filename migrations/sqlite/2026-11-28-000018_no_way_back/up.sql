-- What has ended is not opened again and nothing goes back, also for whoever has the service's own credentials: a refund that
-- failed would be sent by the worker, a refund's transaction taken for undone would be given back once more, and a payment
-- that is over would be charged. A refund that failed may still succeed: late evidence wins.
CREATE TRIGGER refunds_no_way_back BEFORE UPDATE ON refunds WHEN NEW.status = 'pending' AND OLD.status <> 'pending' BEGIN SELECT RAISE(ABORT, 'refunds do not go back'); END;

-- States of a transaction in the order of their strength (src/domain/evidence.rs). What was given back stays as much.
CREATE TRIGGER transactions_no_way_back BEFORE UPDATE ON transactions WHEN CASE NEW.status WHEN 'checked' THEN 0 WHEN 'awaiting_authentication' THEN 1 WHEN 'declined' THEN 2 WHEN 'authorized' THEN 3 WHEN 'voided' THEN 4 ELSE 5 END < CASE OLD.status WHEN 'checked' THEN 0 WHEN 'awaiting_authentication' THEN 1 WHEN 'declined' THEN 2 WHEN 'authorized' THEN 3 WHEN 'voided' THEN 4 ELSE 5 END OR (OLD.kind = 'refund' AND OLD.status = 'completed' AND NEW.amount <> OLD.amount) BEGIN SELECT RAISE(ABORT, 'transactions do not go back'); END;

-- A payment moves along the table of moves.
CREATE TRIGGER payments_no_way_back BEFORE UPDATE ON payments WHEN NEW.sequence < OLD.sequence OR (NEW.status <> OLD.status AND NOT EXISTS (SELECT 1 FROM transition_edges WHERE from_status = OLD.status AND to_status = NEW.status)) BEGIN SELECT RAISE(ABORT, 'payments do not go back'); END;
