//! The data of the runs: the same before each, and counted after it.

use std::process::Command;

use callsweep_core::store::{AnyConnection, Backend};
use callsweep_testkit::{TestDatabase, big};
use diesel::connection::SimpleConnection as _;

/// A table of which each run gets a fresh copy.
pub(crate) struct Data {
    pub(crate) backend: Backend,
    pub(crate) rows: i64,
    original: TestDatabase,
}

impl Data {
    pub(crate) fn load(backend: Backend, rows: i64) -> Self {
        Self { backend, rows, original: big::database(backend, rows) }
    }

    /// Numbers that a sweep up to this time would remove.
    pub(crate) fn removable(&self, upto: &str) -> i64 {
        let removable = big::removable(&mut self.original.connect(), upto);
        assert!(removable > 0, "nothing to remove up to {upto}");
        removable
    }

    /// A database with all of the data, on a server without pending work.
    pub(crate) fn fresh(&self) -> TestDatabase {
        let db = TestDatabase::copy_of(&self.original);
        settle(&mut db.connect());
        db
    }
}

/// Flushes dirty pages, and loads the tables into memory.
fn settle(conn: &mut AnyConnection) {
    let sql = match conn.backend() {
        // A copy is not in memory. Autovacuum would affect some runs and not others.
        Backend::Postgres => {
            "CREATE EXTENSION IF NOT EXISTS pg_prewarm;
             SELECT pg_prewarm(oid::regclass) FROM pg_class WHERE relname LIKE 'call_data%' AND relkind IN ('r', 'i');
             ALTER TABLE call_data SET (autovacuum_enabled = off);
             ALTER TABLE call_data_history SET (autovacuum_enabled = off);
             CHECKPOINT;"
        }
        // Waits until the pages of the tables are written. A copy is not in memory.
        Backend::Mysql => {
            "FLUSH TABLES call_data, call_data_history FOR EXPORT; UNLOCK TABLES;
             SELECT count(*) FROM call_data FORCE INDEX (PRIMARY) WHERE call_data <> '';
             SELECT count(*) FROM call_data FORCE INDEX (call_data_session_id) WHERE session_id <> '';
             SELECT count(*) FROM call_data FORCE INDEX (call_data_called) WHERE called <> '';
             SELECT count(*) FROM call_data FORCE INDEX (call_data_custom_field) WHERE custom_field <> '';
             SELECT count(*) FROM call_data FORCE INDEX (call_data_recycle_time) WHERE recycle_time > '0001-01-01';"
        }
        Backend::Sqlite => "PRAGMA wal_checkpoint(TRUNCATE);",
    };
    conn.batch_execute(sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert!(Command::new("sync").status().is_ok_and(|status| status.success()), "sync");
}

/// Checks how many of `rows` numbers are left after `archived` of them were moved to history. Panics on a difference:
/// the figures of an incomplete run are worthless.
pub(crate) fn check(db: &TestDatabase, rows: i64, archived: i64) {
    assert_eq!(big::counts(&mut db.connect()), (rows - archived, archived), "numbers left, and in history");
}
