CREATE TABLE campaign (
    id BIGINT NOT NULL PRIMARY KEY,
    vdn_id INTEGER NOT NULL,
    name VARCHAR(100) NOT NULL,
    status SMALLINT NOT NULL, -- 1 draft, 2 executing, 3 suspended, 4 completed
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL
);
CREATE UNIQUE INDEX campaign_vdn_id_name ON campaign (vdn_id, name);

CREATE TABLE call_data (
    campaign_id BIGINT NOT NULL,
    id BIGINT NOT NULL,
    session_id VARCHAR(32),
    called VARCHAR(24) NOT NULL,
    caller VARCHAR(24),
    custom_field VARCHAR(200),
    call_data VARCHAR(1024),
    priority SMALLINT NOT NULL DEFAULT 3,
    recycle_time TIMESTAMP, -- wall-clock, without a zone
    status SMALLINT NOT NULL, -- 0 waiting, 1 loaded, 2 calling, 5 failed for good, 6 succeeded
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    PRIMARY KEY (campaign_id, id)
);
-- Each ends in id: one walk in the order of id serves every filter, without a sort.
CREATE INDEX call_data_session_id ON call_data (campaign_id, session_id, id);
CREATE INDEX call_data_called ON call_data (campaign_id, called, id);
CREATE INDEX call_data_custom_field ON call_data (campaign_id, custom_field, id);
CREATE INDEX call_data_recycle_time ON call_data (campaign_id, recycle_time, id);

CREATE TABLE call_data_history (
    campaign_id BIGINT NOT NULL,
    id BIGINT NOT NULL,
    session_id VARCHAR(32),
    called VARCHAR(24) NOT NULL,
    caller VARCHAR(24),
    custom_field VARCHAR(200),
    call_data VARCHAR(1024),
    priority SMALLINT NOT NULL DEFAULT 3,
    recycle_time TIMESTAMP,
    status SMALLINT NOT NULL,
    created_at TIMESTAMP NOT NULL,
    updated_at TIMESTAMP NOT NULL,
    archived_at TIMESTAMP NOT NULL,
    run_id BIGINT NOT NULL,
    -- With run_id: an id that was imported again may be archived again.
    PRIMARY KEY (campaign_id, id, run_id)
);

CREATE TABLE purge_run (
    id BIGINT NOT NULL PRIMARY KEY,
    kind VARCHAR(16) NOT NULL, -- request, policy, manual, restore, prune
    policy VARCHAR(100),
    actor VARCHAR(100) NOT NULL,
    vdn_id INTEGER NOT NULL, -- 0: campaigns of several VDNs
    campaign_id BIGINT, -- NULL: several campaigns, see purge_run_campaign
    criteria TEXT NOT NULL, -- JSON
    archive_history BOOLEAN NOT NULL,
    state VARCHAR(16) NOT NULL,
    matched BIGINT NOT NULL,
    deleted BIGINT NOT NULL,
    archived BIGINT NOT NULL,
    barred BIGINT NOT NULL, -- the sum of the four that follow
    barred_call_ongoing BIGINT NOT NULL,
    barred_call_completed BIGINT NOT NULL,
    barred_ongoing_task BIGINT NOT NULL,
    barred_unknown_status BIGINT NOT NULL,
    chunks BIGINT NOT NULL,
    cursor VARCHAR(64),
    started_at TIMESTAMP NOT NULL,
    heartbeat_at TIMESTAMP NOT NULL,
    finished_at TIMESTAMP,
    stop_reason VARCHAR(255),
    error TEXT,
    request_key VARCHAR(128) UNIQUE, -- what may happen once only: a signed request, the firing of a policy
    result_code VARCHAR(16),
    request_id VARCHAR(64),
    client_address VARCHAR(64),
    owner VARCHAR(100) NOT NULL, -- the process that may go on with the run
    throttled_by VARCHAR(255), -- what holds the run right now
    restored BIGINT NOT NULL, -- archived numbers that a restore took back out of history
    pruned BIGINT NOT NULL -- archived numbers whose retention ended
);
CREATE INDEX purge_run_campaign_id ON purge_run (campaign_id, id);
CREATE INDEX purge_run_state ON purge_run (state, id);
CREATE INDEX purge_run_policy ON purge_run (policy, id);

-- One row for each campaign of a sweep: the account, and where it goes on.
CREATE TABLE purge_run_campaign (
    run_id BIGINT NOT NULL,
    campaign_id BIGINT NOT NULL,
    vdn_id INTEGER NOT NULL,
    state VARCHAR(16) NOT NULL,
    walk VARCHAR(16),
    matched BIGINT NOT NULL,
    deleted BIGINT NOT NULL,
    archived BIGINT NOT NULL,
    barred_call_ongoing BIGINT NOT NULL,
    barred_call_completed BIGINT NOT NULL,
    barred_ongoing_task BIGINT NOT NULL,
    barred_unknown_status BIGINT NOT NULL,
    chunks BIGINT NOT NULL,
    retries BIGINT NOT NULL,
    sql_ms BIGINT NOT NULL,
    throttled_ms BIGINT NOT NULL,
    slowest_chunk_ms BIGINT NOT NULL,
    cursor VARCHAR(64),
    stop_reason VARCHAR(255),
    error TEXT,
    PRIMARY KEY (run_id, campaign_id)
);

-- What people say to a run while it goes: read between chunks.
CREATE TABLE purge_run_control (
    run_id BIGINT NOT NULL PRIMARY KEY,
    wanted VARCHAR(16), -- pause, cancel
    pace TEXT NOT NULL, -- JSON: what `runs ID set` changed
    actor VARCHAR(100) NOT NULL,
    updated_at TIMESTAMP NOT NULL
);

-- Which sweep has a campaign. The lease is as alive as the run's heartbeat.
CREATE TABLE campaign_lease (
    campaign_id BIGINT NOT NULL PRIMARY KEY,
    run_id BIGINT NOT NULL
);
