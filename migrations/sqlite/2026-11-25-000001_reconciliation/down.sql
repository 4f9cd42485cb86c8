DROP TABLE chargebacks;
DROP TABLE discrepancies;
DROP TABLE register_marks;
DROP TABLE reconciliations;
