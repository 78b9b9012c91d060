-- As one_statement.sql, but as one usually writes it: one statement for each step.
\set n :n + 1
\set k :first + :client_id + :clients * :n
\set p :k * :step % :removable
\set id :p + :p / 4 + 1
\set campaign case when :id > :numbers / 2 then 2 else 1 end
BEGIN;
SELECT status FROM campaign WHERE id = :campaign AND vdn_id = 1 FOR SHARE;
INSERT INTO call_data_history
SELECT
    campaign_id, id, session_id, called, caller, custom_field, call_data, priority, recycle_time, status, created_at,
    updated_at, now() AT TIME ZONE 'UTC', :k
FROM call_data WHERE campaign_id = :campaign AND session_id = 's' || :id::text AND status = 0
FOR UPDATE;
DELETE FROM call_data WHERE campaign_id = :campaign AND session_id = 's' || :id::text AND status = 0;
INSERT INTO purge_run (
    id, kind, actor, vdn_id, campaign_id, criteria, archive_history, state, matched, deleted, archived, barred,
    barred_call_ongoing, barred_call_completed, barred_ongoing_task, barred_unknown_status, chunks, started_at,
    heartbeat_at, finished_at, request_key, result_code, request_id, client_address, owner, restored, pruned
)
VALUES (
    :k, 'request', 'bench', 1, :campaign, '{"sessionId":"s' || :id::text || '"}', true, 'succeeded', 1, 1, 1, 0,
    0, 0, 0, 0, 1, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC',
    'signature:' || encode(sha256(:id::text::bytea), 'hex'), '0200000', md5(:id::text), '127.0.0.1', 'pgbench', 0, 0
);
COMMIT;
