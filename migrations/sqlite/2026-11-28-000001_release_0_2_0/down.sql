ALTER TABLE purge_run_campaign DROP COLUMN barred_constraint;
ALTER TABLE purge_run_campaign DROP COLUMN barred_by_database;
ALTER TABLE purge_run_campaign DROP COLUMN outcome_code;

DROP INDEX purge_run_idempotency_key;
ALTER TABLE purge_run DROP COLUMN barred_constraint;
ALTER TABLE purge_run DROP COLUMN barred_by_database;
ALTER TABLE purge_run DROP COLUMN outcome_code;
ALTER TABLE purge_run DROP COLUMN idempotency_key;
