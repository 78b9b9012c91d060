-- As one_statement.sql, without the ledger row.
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
SELECT count(*) FROM kept;
