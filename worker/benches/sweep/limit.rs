//! What a sweep is measured against: the same move by hand, all of it in one transaction on one connection.

use std::time::Instant;

use callsweep_core::store::Backend;
use callsweep_core::testkit::{TestDatabase, sample};
use chrono::TimeDelta;
use diesel::connection::SimpleConnection as _;

const COLUMNS: &str = "campaign_id, id, session_id, called, caller, custom_field, call_data, priority, recycle_time, \
                       status, created_at, updated_at";

/// Archives up to `upto`. Says how many seconds it took, without connecting.
pub(crate) fn archive(db: &TestDatabase, upto: &str) -> f64 {
    let sql = statements(db.backend(), upto);
    if db.backend() == Backend::Sqlite {
        // The store's own connection: with the same cache, the same log, and the same durability.
        let store = db.store();
        let mut conn = store.connection().expect("connects");
        return timed(|| conn.batch_execute(&sql));
    }
    let mut conn = db.connect();
    timed(|| conn.batch_execute(&sql))
}

fn timed(work: impl FnOnce() -> diesel::QueryResult<()>) -> f64 {
    let begun = Instant::now();
    work().expect("archives in one transaction");
    begun.elapsed().as_secs_f64()
}

fn statements(backend: Backend, upto: &str) -> String {
    let before = sample::time(upto) + TimeDelta::days(1);
    let which = format!("campaign_id IN (1, 2) AND status = 0 AND recycle_time < '{}'", before.format("%F %T"));
    let into = format!("INSERT INTO call_data_history ({COLUMNS}, archived_at, run_id)");
    match backend {
        Backend::Postgres => format!(
            "WITH gone AS (DELETE FROM call_data WHERE {which} RETURNING {COLUMNS})
             {into} SELECT {COLUMNS}, now() AT TIME ZONE 'UTC', 1 FROM gone"
        ),
        Backend::Mysql => format!(
            "START TRANSACTION; {into} SELECT {COLUMNS}, UTC_TIMESTAMP(6), 1 FROM call_data WHERE {which};
             DELETE FROM call_data WHERE {which}; COMMIT"
        ),
        Backend::Sqlite => format!(
            "BEGIN IMMEDIATE; {into} SELECT {COLUMNS}, datetime('now'), 1 FROM call_data WHERE {which};
             DELETE FROM call_data WHERE {which}; COMMIT"
        ),
    }
}
