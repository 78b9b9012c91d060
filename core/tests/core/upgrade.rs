//! Upgrade from version 0.1.0: the newest migrations keep every row unchanged, and its runs can be resumed.

use std::fs;
use std::path::Path;

use callsweep_core::engine::restore::{Restore, restore};
use callsweep_core::engine::verify::verify;
use callsweep_core::engine::{Control, Outcome};
use callsweep_core::outcome_code::OutcomeCode;
use callsweep_core::run::RunState;
use callsweep_core::settings::DatabaseSettings;
use callsweep_core::store::controls::{self, RunControl};
use callsweep_core::store::runs::{self, RunFilter};
use callsweep_core::store::{AnyConnection, Backend, Store, migrations};
use callsweep_testkit::TestDatabase;
use callsweep_testkit::clock::ManualClock;
use callsweep_testkit::on_each_backend;
use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::support::{engine, execute, ledger, resume_with_progress};

/// The migration of version 0.1.0, and its number in the database.
const FIRST: (&str, &str) = ("2026-11-24-000001_create_tables", "20261124000001");
/// Rows that its commands and its endpoint wrote: every kind and state of run, numbers in every status.
const ROWS: &str = include_str!("upgrade/0.1.0/rows.sql");
/// A time after all of these rows: every run in progress counts as dead.
const NOW: &str = "2026-12-24T12:00:00Z";

fn first_migration(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => include_str!("upgrade/0.1.0/sqlite.sql"),
        Backend::Postgres => include_str!("upgrade/0.1.0/postgres.sql"),
        Backend::Mysql => include_str!("upgrade/0.1.0/mysql.sql"),
    }
}

/// `cursor` is a reserved word on MariaDB.
fn rows_for(backend: Backend) -> String {
    if backend == Backend::Mysql { ROWS.replace(" cursor,", " `cursor`,") } else { ROWS.to_owned() }
}

/// The database as version 0.1.0 left it, migrated to the newest version.
fn left_by_the_first(backend: Backend) -> (TestDatabase, Store) {
    let db = TestDatabase::empty(backend);
    let settings = DatabaseSettings { url: db.url().to_owned().into(), ..DatabaseSettings::default() };
    let store = Store::create(&settings, ManualClock::at(NOW).clock()).unwrap();
    let mut conn = store.connection().unwrap();
    execute(&mut conn, first_migration(backend));
    execute(
        &mut conn,
        "CREATE TABLE __diesel_schema_migrations (version VARCHAR(50) PRIMARY KEY NOT NULL, \
         run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)",
    );
    execute(&mut conn, &format!("INSERT INTO __diesel_schema_migrations (version) VALUES ('{}')", FIRST.1));
    execute(&mut conn, &rows_for(backend));
    drop(conn);
    (db, store)
}

/// Every row of version 0.1.0, every column of it, as text.
fn rows(conn: &mut AnyConnection) -> Vec<String> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        line: String,
    }
    let rows = rows_for(conn.backend());
    let header = |line: &str| {
        let (table, columns) = line.strip_prefix("INSERT INTO ")?.strip_suffix(") VALUES")?.split_once(" (")?;
        Some((table.to_owned(), columns.to_owned()))
    };
    let mut all = Vec::new();
    for (table, columns) in rows.lines().filter_map(header) {
        let text = if conn.backend() == Backend::Mysql { "CHAR" } else { "TEXT" };
        let columns = columns.split(", ").map(|column| format!("coalesce(CAST({column} AS {text}), 'NULL')"));
        let columns: Vec<String> = columns.collect();
        let line = match conn.backend() {
            Backend::Mysql => format!("concat_ws('|', {})", columns.join(", ")),
            _ => columns.join(" || '|' || "),
        };
        let found: Vec<Row> =
            diesel::sql_query(format!("SELECT {line} AS line FROM {table} ORDER BY 1")).load(conn).unwrap();
        all.extend(found.into_iter().map(|row| format!("{table}: {}", row.line)));
    }
    all
}

#[test]
fn a_released_migration_is_never_changed() {
    for backend in [Backend::Sqlite, Backend::Postgres, Backend::Mysql] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(backend.folder());
        let now = fs::read_to_string(folder.join(FIRST.0).join("up.sql")).unwrap();
        assert!(
            now == first_migration(backend),
            "{backend}: {} was changed. It is released and applied already: restore it, and add a new migration",
            FIRST.0
        );
    }
}

#[test]
fn the_sample_rows_cover_all_states() {
    for state in RunState::ALL {
        assert!(ROWS.contains(&format!("'{}'", state.as_str())), "{state:?}");
    }
}

on_each_backend! {
    fn every_row_stays_unchanged(db) {
        let (_db, store) = left_by_the_first(db.backend());
        let mut conn = store.connection().unwrap();
        let before = rows(&mut conn);
        assert_eq!(before.len(), ROWS.lines().filter(|line| line.starts_with('(')).count());
        let pending = migrations::pending(&mut conn).unwrap();
        assert_eq!(migrations::run(&mut conn).unwrap(), pending);
        migrations::check_current(&mut conn).unwrap();
        assert_eq!(rows(&mut conn), before);
    }

    fn an_idempotency_key_of_the_first_version_gets_its_own_column(db) {
        let (_db, store) = left_by_the_first(db.backend());
        let mut conn = store.connection().unwrap();
        let request = "(SELECT min(id) AS id FROM purge_run WHERE kind = 'request')";
        let request = format!("(SELECT id FROM {request} AS first)");
        execute(&mut conn, &format!("UPDATE purge_run SET request_key = 'key:0123' WHERE id = {request}"));
        migrations::run(&mut conn).unwrap();
        let keyed = runs::find_by_idempotency_key(&mut conn, "key:0123").unwrap().expect("it is found by its key");
        assert_eq!(keyed.request_key.as_deref(), Some("key:0123"));
        let all = runs::list(&mut conn, &RunFilter { limit: 1_000, ..RunFilter::default() }).unwrap();
        assert!(all.iter().all(|run| run.id == keyed.id || run.idempotency_key.is_none()));
    }

    fn how_a_run_of_the_first_version_ended_becomes_a_code(db) {
        let (_db, store) = left_by_the_first(db.backend());
        let mut conn = store.connection().unwrap();
        let ended = [
            ("succeeded", "", OutcomeCode::Succeeded),
            ("failed", "", OutcomeCode::Database),
            ("interrupted", "its process stopped reporting", OutcomeCode::ProcessDied),
            ("stopped", "stopped by a person", OutcomeCode::Person),
            ("stopped", "cancelled by dba@db1", OutcomeCode::Cancelled),
            ("stopped", "the stop file /run/stop is there", OutcomeCode::StopFile),
            ("stopped", "max_duration of 60 s is over", OutcomeCode::MaxDuration),
            ("stopped", "its time was over while it was held by replica lag", OutcomeCode::Throttle),
            ("stopped", "max_rows = 10 are gone", OutcomeCode::MaxRows),
            ("stopped", "the campaign began to execute", OutcomeCode::CampaignExecuting),
            ("refused", "the campaign is executing (rules.ongoing_task = \"campaign\")", OutcomeCode::CampaignExecuting),
            ("refused", "11 numbers would go, 1 more than max_rows = 10", OutcomeCode::BoundExceeded),
        ];
        // As many rows as there are endings: copies of one, each with an id of its own.
        execute(&mut conn, "DELETE FROM purge_run WHERE id NOT IN (SELECT id FROM (SELECT min(id) AS id FROM purge_run) AS first)");
        execute(&mut conn, "UPDATE purge_run SET id = 1, request_key = NULL");
        let columns = "kind, actor, vdn_id, criteria, archive_history, matched, deleted, archived, barred, \
                       barred_call_ongoing, barred_call_completed, barred_ongoing_task, barred_unknown_status, chunks, \
                       started_at, heartbeat_at, owner, restored, pruned";
        for (id, (state, reason, _)) in (2..).zip(&ended) {
            execute(&mut conn, &format!(
                "INSERT INTO purge_run (id, state, stop_reason, {columns}) \
                 SELECT {id}, '{state}', '{reason}', {columns} FROM purge_run WHERE id = 1"
            ));
        }
        migrations::run(&mut conn).unwrap();
        for (id, (state, reason, code)) in (2..).zip(&ended) {
            let run = runs::find(&mut conn, id).unwrap().unwrap();
            assert_eq!(run.outcome_code, Some(*code), "{state}: {reason}");
        }
    }

    fn a_server_of_the_first_version_that_still_runs_goes_on_inserting(db) {
        let (_db, store) = left_by_the_first(db.backend());
        let mut conn = store.connection().unwrap();
        let before = rows(&mut conn);
        migrations::run(&mut conn).unwrap();
        let inserts = rows_for(conn.backend());
        for line in inserts.lines().filter_map(|line| line.strip_prefix("INSERT INTO ")) {
            execute(&mut conn, &format!("DELETE FROM {}", line.split_once(' ').unwrap().0));
        }
        execute(&mut conn, &inserts);
        assert_eq!(rows(&mut conn), before);
    }

    fn its_runs_can_be_resumed(db) {
        let (_db, store) = left_by_the_first(db.backend());
        let mut conn = store.connection().unwrap();
        migrations::run(&mut conn).unwrap();
        let engine = engine(store.clone(), 5);
        let all = runs::list(&mut conn, &RunFilter { limit: 1_000, ..RunFilter::default() }).unwrap();
        let ended = [RunState::Succeeded, RunState::Refused].map(RunState::as_str);
        let (ended, left): (Vec<_>, Vec<_>) = all.into_iter().partition(|run| ended.contains(&run.state.as_str()));
        assert_eq!((ended.len(), left.len()), (11, 8));
        for run in left {
            // An operator command from before the upgrade is still in effect.
            let go_on = |said| RunControl { wanted: None, ..said };
            controls::request_control(&mut conn, run.id, go_on, store.clock().timestamp()).unwrap();
            let report = resume_with_progress(&engine, run.id, |_| ());
            assert!(matches!(report.outcome, Outcome::Succeeded), "{} {}: {:?}", run.id, run.state, report.outcome);
            assert!(report.counts.archived >= run.counts.archived);
        }
        let archived = ended.iter().find(|run| run.campaign_id.is_some_and(|id| id.get() == 1) && run.archive_history).unwrap();
        let back = Restore { run_id: archived.id, actor: "tester".to_owned(), into_executing: false };
        let report = restore(&engine, &back, &mut Control::unattended()).unwrap();
        assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
        assert_eq!(ledger(&mut conn, archived.id).restored, archived.counts.archived - archived.pruned);
        let report = verify(&store, &mut |_| true).unwrap().unwrap();
        assert_eq!((report.violations, report.skipped), (vec![], vec![]));
    }
}
