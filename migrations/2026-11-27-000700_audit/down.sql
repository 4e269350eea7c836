DROP TABLE leveret.audit;
DROP FUNCTION leveret.refuse_change_of_audit();
