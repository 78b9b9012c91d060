//! Diesel's definitions of the tables. A test compares them with the catalogue of each backend.

#![allow(missing_docs, reason = "the macro makes items without documentation; the migrations describe the columns")]

diesel::table! {
    campaign (id) {
        id -> BigInt,
        vdn_id -> Integer,
        name -> Text,
        status -> SmallInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

diesel::table! {
    call_data (campaign_id, id) {
        campaign_id -> BigInt,
        id -> BigInt,
        session_id -> Nullable<Text>,
        called -> Text,
        caller -> Nullable<Text>,
        custom_field -> Nullable<Text>,
        #[sql_name = "call_data"]
        data -> Nullable<Text>,
        priority -> SmallInt,
        recycle_time -> Nullable<Timestamp>,
        status -> SmallInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
    }
}

diesel::table! {
    call_data_history (campaign_id, id, run_id) {
        campaign_id -> BigInt,
        id -> BigInt,
        session_id -> Nullable<Text>,
        called -> Text,
        caller -> Nullable<Text>,
        custom_field -> Nullable<Text>,
        call_data -> Nullable<Text>,
        priority -> SmallInt,
        recycle_time -> Nullable<Timestamp>,
        status -> SmallInt,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        archived_at -> Timestamp,
        run_id -> BigInt,
    }
}

diesel::table! {
    purge_run (id) {
        id -> BigInt,
        kind -> Text,
        policy -> Nullable<Text>,
        actor -> Text,
        vdn_id -> Integer,
        campaign_id -> Nullable<BigInt>,
        criteria -> Text,
        archive_history -> Bool,
        state -> Text,
        matched -> BigInt,
        deleted -> BigInt,
        archived -> BigInt,
        barred -> BigInt,
        barred_call_ongoing -> BigInt,
        barred_call_completed -> BigInt,
        barred_ongoing_task -> BigInt,
        barred_unknown_status -> BigInt,
        chunks -> BigInt,
        cursor -> Nullable<Text>,
        started_at -> Timestamp,
        heartbeat_at -> Timestamp,
        finished_at -> Nullable<Timestamp>,
        stop_reason -> Nullable<Text>,
        error -> Nullable<Text>,
        request_key -> Nullable<Text>,
        result_code -> Nullable<Text>,
        request_id -> Nullable<Text>,
        client_address -> Nullable<Text>,
        owner -> Text,
        throttled_by -> Nullable<Text>,
        restored -> BigInt,
        pruned -> BigInt,
        idempotency_key -> Nullable<Text>,
        outcome_code -> Nullable<Text>,
        barred_by_database -> BigInt,
        barred_constraint -> Nullable<Text>,
    }
}

diesel::table! {
    purge_run_campaign (run_id, campaign_id) {
        run_id -> BigInt,
        campaign_id -> BigInt,
        vdn_id -> Integer,
        state -> Text,
        walk -> Nullable<Text>,
        matched -> BigInt,
        deleted -> BigInt,
        archived -> BigInt,
        barred_call_ongoing -> BigInt,
        barred_call_completed -> BigInt,
        barred_ongoing_task -> BigInt,
        barred_unknown_status -> BigInt,
        chunks -> BigInt,
        retries -> BigInt,
        sql_ms -> BigInt,
        throttled_ms -> BigInt,
        slowest_chunk_ms -> BigInt,
        cursor -> Nullable<Text>,
        stop_reason -> Nullable<Text>,
        error -> Nullable<Text>,
        outcome_code -> Nullable<Text>,
        barred_by_database -> BigInt,
        barred_constraint -> Nullable<Text>,
    }
}

diesel::table! {
    purge_run_control (run_id) {
        run_id -> BigInt,
        wanted -> Nullable<Text>,
        pace -> Text,
        actor -> Text,
        updated_at -> Timestamp,
    }
}

diesel::table! {
    campaign_lease (campaign_id) {
        campaign_id -> BigInt,
        run_id -> BigInt,
    }
}
