//! The baseline of a sweep: the same move by hand, in a single transaction or in one for each campaign.

use std::thread;
use std::time::Instant;

use callsweep_core::store::{AnyConnection, Backend};
use callsweep_testkit::{TestDatabase, sample};
use chrono::TimeDelta;
use diesel::connection::SimpleConnection as _;

const COLUMNS: &str = "campaign_id, id, session_id, called, caller, custom_field, call_data, priority, recycle_time, \
                       status, created_at, updated_at";

/// Archives up to `upto`. Returns the seconds that it took, without connecting.
pub(crate) fn archive(db: &TestDatabase, upto: &str) -> f64 {
    let sql = statements(db.backend(), upto, "1, 2");
    if db.backend() == Backend::Sqlite {
        // A connection of the store: same cache, same journal mode, same durability.
        let store = db.store();
        let mut conn = store.connection().expect("connects");
        return timed(|| archive_by(&mut conn, &sql));
    }
    let mut conn = db.connect();
    timed(|| archive_by(&mut conn, &sql))
}

/// As [`archive`], but both campaigns in parallel, each on its own connection.
pub(crate) fn archive_side_by_side(db: &TestDatabase, upto: &str) -> f64 {
    let mut sides = ["1", "2"].map(|campaign| (db.connect(), statements(db.backend(), upto, campaign)));
    timed(|| {
        thread::scope(|scope| {
            for (conn, sql) in &mut sides {
                scope.spawn(|| archive_by(conn, sql));
            }
        });
    })
}

fn archive_by(conn: &mut AnyConnection, sql: &str) {
    conn.batch_execute(sql).expect("archives in one transaction");
}

fn timed(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64()
}

fn statements(backend: Backend, upto: &str, campaigns: &str) -> String {
    let before = sample::time(upto) + TimeDelta::days(1);
    let which = format!("campaign_id IN ({campaigns}) AND status = 0 AND recycle_time < '{}'", before.format("%F %T"));
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
