-- What has ended is not opened again and nothing goes back, also for whoever has the service's own credentials: a refund that
-- failed would be sent by the worker, a refund's transaction taken for undone would be given back once more, and a payment
-- that is over would be charged. A refund that failed may still succeed: late evidence wins.
CREATE FUNCTION refuse_going_back() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '% do not go back', TG_TABLE_NAME; END $$;
CREATE TRIGGER refunds_no_way_back BEFORE UPDATE ON refunds FOR EACH ROW WHEN (NEW.status = 'pending' AND OLD.status <> 'pending') EXECUTE FUNCTION refuse_going_back();

-- States of a transaction in the order of their strength (src/domain/evidence.rs). What was given back stays as much.
CREATE TRIGGER transactions_no_way_back BEFORE UPDATE ON transactions FOR EACH ROW WHEN (CASE NEW.status WHEN 'checked' THEN 0 WHEN 'awaiting_authentication' THEN 1 WHEN 'declined' THEN 2 WHEN 'authorized' THEN 3 WHEN 'voided' THEN 4 ELSE 5 END < CASE OLD.status WHEN 'checked' THEN 0 WHEN 'awaiting_authentication' THEN 1 WHEN 'declined' THEN 2 WHEN 'authorized' THEN 3 WHEN 'voided' THEN 4 ELSE 5 END OR (OLD.kind = 'refund' AND OLD.status = 'completed' AND NEW.amount <> OLD.amount)) EXECUTE FUNCTION refuse_going_back();

-- A payment moves along the table of moves.
CREATE FUNCTION refuse_undeclared_moves() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.sequence >= OLD.sequence AND (NEW.status = OLD.status OR EXISTS (SELECT 1 FROM transition_edges WHERE from_status = OLD.status AND to_status = NEW.status)) THEN RETURN NEW; END IF; RAISE EXCEPTION 'payments do not go back'; END $$;
CREATE TRIGGER payments_no_way_back BEFORE UPDATE ON payments FOR EACH ROW WHEN (NEW.sequence < OLD.sequence OR NEW.status <> OLD.status) EXECUTE FUNCTION refuse_undeclared_moves();
