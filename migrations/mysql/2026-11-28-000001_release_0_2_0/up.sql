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
