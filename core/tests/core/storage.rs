//! A table that cannot roll back is found before the first row, and nothing is removed.

use callsweep_core::bounds::Bounds;
use callsweep_core::campaign::CampaignId;
use callsweep_core::engine::Error;
use callsweep_core::engine::prune::{Prune, prune};
use callsweep_core::engine::restore::{preview, restore};
use callsweep_core::engine::{BatchOutcome, Control, Engine, Outcome, purge, purge_batch, resume};
use callsweep_core::run::{NewRun, RunKind};
use callsweep_core::store::inspect::{Verdict, inspect};
use callsweep_core::store::{AnyConnection, Backend, StoreError, storage};
use callsweep_testkit::TestDatabase;
use callsweep_testkit::on_each_backend;
use callsweep_testkit::sample::number;
use callsweep_testkit::tables;
use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::restore::restore_of;
use crate::support::{assert_no_violation, campaign, engine, execute, manual, stop_after, sweep, watch};

const BATCH: &str = r#"{"customField":"batch"}"#;

/// Every table of the schema but Diesel's own.
fn all_tables(conn: &mut AnyConnection) -> Vec<String> {
    #[derive(QueryableByName)]
    struct Table {
        #[diesel(sql_type = Text)]
        name: String,
    }
    let query = match conn.backend() {
        Backend::Sqlite => "SELECT name FROM sqlite_master WHERE type = 'table'",
        Backend::Postgres => "SELECT CAST(tablename AS TEXT) AS name FROM pg_tables WHERE schemaname = 'public'",
        Backend::Mysql => "SELECT table_name AS name FROM information_schema.tables WHERE table_schema = DATABASE()",
    };
    let tables: Vec<Table> = diesel::sql_query(query).load(conn).unwrap();
    tables.into_iter().map(|table| table.name).filter(|name| !name.starts_with("__diesel")).collect()
}

#[track_caller]
fn is_refused(outcome: &Outcome, table: &str) {
    let (Outcome::Refused(error) | Outcome::Failed(error)) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(error, Error::Store(StoreError::UnsafeTable(_))), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(table) && text.contains("ALTER TABLE"), "{text}");
}

/// Every way to change the tables is refused, and says which table is why.
fn nothing_is_removed(db: &TestDatabase, engine: &Engine, archived_run: i64, stopped_run: i64, table: &str) {
    let mut conn = db.connect();
    let here = CampaignId::try_from(1).unwrap();
    let before = (tables::numbers(&mut conn, here), tables::history(&mut conn, here));
    let control = &mut Control::unattended();
    for archive in [true, false] {
        is_refused(&purge(engine, &manual(here, BATCH, archive), control).unwrap().outcome, table);
    }
    is_refused(&resume(engine, stopped_run, Bounds::default(), control).unwrap().outcome, table);
    is_refused(&restore(engine, &restore_of(archived_run), control).unwrap().outcome, table);
    let refused = preview(engine, &restore_of(archived_run), &|| false).unwrap().unwrap().refused;
    assert!(refused.is_some_and(|why| why.contains(table)));
    let wish = Prune {
        archived_before: engine.store.clock().timestamp() + chrono::TimeDelta::days(1),
        bounds: Bounds::default(),
        actor: "tester".to_owned(),
    };
    is_refused(&prune(engine, &wish, control).unwrap().history.outcome, table);
    assert_eq!((tables::numbers(&mut conn, here), tables::history(&mut conn, here)), before);
    let findings = inspect(&mut conn).unwrap();
    let finding = findings.iter().find(|finding| finding.topic == "tables").unwrap();
    assert!(finding.verdict == Verdict::Failure && finding.detail.contains(table), "{finding:?}");
}

/// Ten numbers: two in history, four gone in a run that was stopped.
fn scene(db: &TestDatabase) -> (Engine, i64, i64) {
    let engine = engine(db.store(), 4);
    let here = campaign(db, 1, &(1..=10).map(number).collect::<Vec<_>>());
    let archived = sweep(&engine, &manual(here, r#"{"sessionId":"s9"}"#, true)).run_id;
    let stopped = stop_after(&engine, &manual(here, BATCH, true), 1).run_id;
    (engine, archived, stopped)
}

on_each_backend! {
    fn a_table_that_cannot_roll_back_is_refused_everywhere(db) {
        let (engine, archived, stopped) = scene(db);
        let mut conn = db.connect();
        assert_eq!(storage::find_unsafe(&mut conn).unwrap(), []);
        let names = all_tables(&mut conn);
        assert!(names.len() >= 7, "{names:?}");
        for table in names {
            let (break_it, mend_it) = match db.backend() {
                Backend::Sqlite => return, // A file has one journal for all of its tables.
                Backend::Postgres => ("SET UNLOGGED", "SET LOGGED"),
                Backend::Mysql => ("ENGINE=MyISAM", "ENGINE=InnoDB"),
            };
            execute(&mut conn, &format!("ALTER TABLE {table} {break_it}"));
            nothing_is_removed(db, &engine, archived, stopped, &table);
            execute(&mut conn, &format!("ALTER TABLE {table} {mend_it}"));
        }
        let left = sweep(&engine, &manual(CampaignId::try_from(1).unwrap(), BATCH, true));
        assert_eq!(left.counts.archived, 5);
        assert_no_violation(&engine.store);
    }

    fn a_table_that_changes_while_a_process_works_ends_the_work(db) {
        let alter = match db.backend() {
            Backend::Sqlite => return, // A file has one journal for all of its tables.
            Backend::Postgres => "ALTER TABLE purge_run_campaign SET UNLOGGED",
            Backend::Mysql => "ALTER TABLE purge_run_campaign ENGINE=MyISAM",
        };
        let (engine, mut conn) = (engine(db.store(), 2), db.connect());
        let here = campaign(db, 1, &(1..=10).map(number).collect::<Vec<_>>());
        let mut chunks = 0;
        for archive in [true, false] {
            let report = watch(&engine, &manual(here, BATCH, archive), |_| {
                chunks += 1;
                if chunks == 1 {
                    execute(&mut conn, alter);
                }
            });
            is_refused(&report.outcome, "purge_run_campaign");
            let request = NewRun { kind: RunKind::Request, ..manual(here, r#"{"sessionId":"s9"}"#, archive) };
            is_refused(&purge(&engine, &request, &mut Control::unattended()).unwrap().outcome, "");
            let done = purge_batch(&engine, &mut engine.store.connection().unwrap(), &[request]);
            assert!(matches!(done[..], [BatchOutcome::NotBatched]), "{done:?}");
        }
        assert_eq!((tables::ids(&mut conn, here).len(), tables::history_ids(&mut conn, here).len()), (8, 2));
    }

    fn a_table_below_a_view_counts_too(db) {
        if db.backend() == Backend::Sqlite {
            return; // A file has one journal for all of its tables.
        }
        let (engine, archived, stopped) = scene(db);
        let mut conn = db.connect();
        let unsafe_table = if db.backend() == Backend::Mysql { "ENGINE=Aria" } else { "SET UNLOGGED" };
        let quoted = if db.backend() == Backend::Mysql { "`strange``name`" } else { "\"strange\"\"name\"" };
        execute(&mut conn, &format!("ALTER TABLE call_data RENAME TO {quoted}"));
        execute(&mut conn, &format!("CREATE VIEW between_them AS SELECT * FROM {quoted}"));
        execute(&mut conn, "CREATE VIEW call_data AS SELECT * FROM between_them");
        assert_eq!(storage::find_unsafe(&mut conn).unwrap(), []);
        execute(&mut conn, &format!("ALTER TABLE {quoted} {unsafe_table}"));
        nothing_is_removed(db, &engine, archived, stopped, quoted);
    }

    fn a_partition_on_another_server_is_refused(db) {
        if db.backend() != Backend::Postgres {
            return; // Only there a table can be partly local.
        }
        let mut conn = db.connect();
        execute(&mut conn, "DROP TABLE call_data_history; \
            CREATE TABLE call_data_history (LIKE call_data, archived_at TIMESTAMP NOT NULL, run_id BIGINT NOT NULL) \
            PARTITION BY RANGE (campaign_id); \
            CREATE TABLE near PARTITION OF call_data_history FOR VALUES FROM (1) TO (100); \
            CREATE FOREIGN DATA WRAPPER elsewhere; CREATE SERVER elsewhere FOREIGN DATA WRAPPER elsewhere; \
            CREATE FOREIGN TABLE far PARTITION OF call_data_history FOR VALUES FROM (100) TO (200) SERVER elsewhere");
        let found = storage::find_unsafe(&mut conn).unwrap();
        assert_eq!(found, [storage::UnsafeTable::Foreign { table: "far".to_owned() }]);
    }
}
