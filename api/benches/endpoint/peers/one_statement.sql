-- Removes one number: the k-th of the order that data.rs describes.
\set n :n + 1
\set k :first + :client_id + :clients * :n
\set p :k * :step % :removable
\set id :p + :p / 4 + 1
\set campaign case when :id > :numbers / 2 then 2 else 1 end
WITH gone AS (
    DELETE FROM call_data
    WHERE campaign_id = :campaign AND session_id = 's' || :id::text AND status = 0
        AND (SELECT status FROM campaign WHERE id = :campaign AND vdn_id = 1) <> 2
    RETURNING campaign_id, id, session_id, called, caller, custom_field, call_data, priority, recycle_time, status,
        created_at, updated_at
), kept AS (
    INSERT INTO call_data_history SELECT gone.*, now() AT TIME ZONE 'UTC', :k FROM gone RETURNING 1
)
INSERT INTO purge_run (
    id, kind, actor, vdn_id, campaign_id, criteria, archive_history, state, matched, deleted, archived, barred,
    barred_call_ongoing, barred_call_completed, barred_ongoing_task, barred_unknown_status, chunks, started_at,
    heartbeat_at, finished_at, request_key, result_code, request_id, client_address, owner, restored, pruned
)
SELECT
    :k, 'request', 'bench', 1, :campaign, '{"sessionId":"s' || :id::text || '"}', true, 'succeeded', n, n, n, 0,
    0, 0, 0, 0, 1, now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC',
    'signature:' || encode(sha256(:id::text::bytea), 'hex'), '0200000', md5(:id::text), '127.0.0.1', 'pgbench', 0, 0
FROM (SELECT count(*) AS n FROM kept) AS moved;
