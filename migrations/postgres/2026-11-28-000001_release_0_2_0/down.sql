ALTER TABLE purge_run_campaign
    DROP COLUMN barred_constraint,
    DROP COLUMN barred_by_database,
    DROP COLUMN outcome_code;

DROP INDEX purge_run_idempotency_key;
ALTER TABLE purge_run
    DROP COLUMN barred_constraint,
    DROP COLUMN barred_by_database,
    DROP COLUMN outcome_code,
    DROP COLUMN idempotency_key;
