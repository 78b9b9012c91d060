-- One request as one statement. Parameters: campaign, sessionId, vdn, run, criteria, request id, client address.
WITH gone AS (
    DELETE FROM call_data
    WHERE campaign_id = $1 AND session_id = $2 AND status = 0
        AND (SELECT status FROM campaign WHERE id = $1 AND vdn_id = $3) <> 2
    RETURNING campaign_id, id, session_id, called, caller, custom_field, call_data, priority, recycle_time, status,
        created_at, updated_at
), kept AS (
    INSERT INTO call_data_history SELECT gone.*, now() AT TIME ZONE 'UTC', $4 FROM gone RETURNING 1
)
INSERT INTO purge_run (
    id, kind, actor, vdn_id, campaign_id, criteria, archive_history, state, matched, deleted, archived, barred,
    barred_call_ongoing, barred_call_completed, barred_ongoing_task, barred_unknown_status, chunks, started_at,
    heartbeat_at, finished_at, result_code, request_id, client_address, owner, restored, pruned
)
SELECT
    $4, 'request', 'bench', $3, $1, $5, true, 'succeeded', n, n, n, 0, 0, 0, 0, 0, 1, now() AT TIME ZONE 'UTC',
    now() AT TIME ZONE 'UTC', now() AT TIME ZONE 'UTC', '0200000', $6, $7, 'peer', 0, 0
FROM (SELECT count(*) AS n FROM kept) AS moved
RETURNING deleted
