-- The one migration of release 0.2.0, which is not released yet: until it is, add to this file what 0.2.0 needs, and
-- take it back in down.sql. After the release it is never changed again.
-- Every new column has a default or is nullable: a server of 0.1.0 that still runs inserts rows without naming them.
ALTER TABLE purge_run
    ADD COLUMN idempotency_key VARCHAR(128), -- digest of access key and signed Idempotency-Key; unique, see below
    ADD COLUMN outcome_code VARCHAR(32),
    ADD COLUMN barred_by_database BIGINT NOT NULL DEFAULT 0, -- numbers that a constraint, trigger or policy kept
    ADD COLUMN barred_constraint VARCHAR(200); -- the first constraint that kept one
CREATE UNIQUE INDEX purge_run_idempotency_key ON purge_run (idempotency_key);
-- 0.1.0 kept this digest in request_key, in place of the signature's.
UPDATE purge_run SET idempotency_key = request_key WHERE request_key LIKE 'key:%';

ALTER TABLE purge_run_campaign
    ADD COLUMN outcome_code VARCHAR(32),
    ADD COLUMN barred_by_database BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN barred_constraint VARCHAR(200);
-- 0.1.0 said only in texts how a run ended. Decisions read the code from now on, so the texts are read here once.
UPDATE purge_run SET outcome_code = CASE
    WHEN state = 'succeeded' THEN 'succeeded'
    WHEN state = 'interrupted' THEN 'process_died'
    WHEN state = 'failed' THEN 'database'
    WHEN stop_reason IN ('the campaign began to execute', 'the campaign is executing (rules.ongoing_task = "campaign")')
        THEN 'campaign_executing'
    WHEN stop_reason = 'stopped by a person' THEN 'person'
    WHEN stop_reason LIKE 'cancelled by %' THEN 'cancelled'
    WHEN stop_reason LIKE 'the stop file %' THEN 'stop_file'
    WHEN stop_reason LIKE 'max_duration of %' THEN 'max_duration'
    WHEN stop_reason LIKE 'its time was over while %' THEN 'throttle'
    WHEN stop_reason LIKE 'max_rows = %' THEN 'max_rows'
    WHEN stop_reason LIKE 'campaign % is locked by run %' THEN 'campaign_locked'
    WHEN stop_reason LIKE 'call_data_history is not as call_data: %' THEN 'history_drift'
    WHEN state = 'refused' THEN 'bound_exceeded'
END
WHERE outcome_code IS NULL AND state IN ('succeeded', 'interrupted', 'failed', 'stopped', 'refused');
UPDATE purge_run_campaign SET outcome_code = CASE
    WHEN state = 'succeeded' THEN 'succeeded'
    WHEN state = 'interrupted' THEN 'process_died'
    WHEN state = 'failed' THEN 'database'
    WHEN stop_reason IN ('the campaign began to execute', 'the campaign is executing (rules.ongoing_task = "campaign")')
        THEN 'campaign_executing'
    WHEN stop_reason = 'stopped by a person' THEN 'person'
    WHEN stop_reason LIKE 'cancelled by %' THEN 'cancelled'
    WHEN stop_reason LIKE 'the stop file %' THEN 'stop_file'
    WHEN stop_reason LIKE 'max_duration of %' THEN 'max_duration'
    WHEN stop_reason LIKE 'its time was over while %' THEN 'throttle'
    WHEN stop_reason LIKE 'max_rows = %' THEN 'max_rows'
    WHEN stop_reason LIKE 'campaign % is locked by run %' THEN 'campaign_locked'
    WHEN stop_reason LIKE 'call_data_history is not as call_data: %' THEN 'history_drift'
    WHEN state = 'refused' THEN 'bound_exceeded'
END
WHERE outcome_code IS NULL AND state IN ('succeeded', 'interrupted', 'failed', 'stopped', 'refused');
