//! Column differences between `call_data` and `call_data_history` are refused before the first row is moved.

use callsweep_core::engine::Error;
use callsweep_core::engine::{Control, Outcome, purge};
use callsweep_core::store::inspect::{Verdict, inspect};
use callsweep_core::store::{Backend, StoreError, columns};
use callsweep_testkit::TestDatabase;
use callsweep_testkit::on_each_backend;
use callsweep_testkit::sample::number;
use callsweep_testkit::tables;

use crate::support::{campaign, engine, execute, ledger, manual, sweep};

const BATCH: &str = r#"{"customField":"batch"}"#;

/// Alters history, and expects that archiving is refused with this text and that nothing was removed.
fn refuses(db: &TestDatabase, alter: &str, words: &str) {
    let (engine, mut conn) = (engine(db.store(), 5), db.connect());
    let campaign = campaign(db, 1, &[number(1), number(2)]);
    assert_eq!(columns::differences(&mut conn).unwrap(), []);
    execute(&mut conn, alter);
    let report = purge(&engine, &manual(campaign, BATCH, true), &mut Control::unattended()).unwrap();
    let Outcome::Refused(Error::Store(StoreError::HistoryDrift(difference))) = &report.outcome else {
        panic!("{:?}", report.outcome)
    };
    assert!(difference.to_string().contains(words), "{difference}");
    assert_eq!((report.counts.matched, tables::ids(&mut conn, campaign).len()), (0, 2));
    assert!(ledger(&mut conn, report.run_id).stop_reason.is_some_and(|reason| reason.contains(words)));
    let findings = inspect(&mut conn).unwrap();
    let finding = findings.iter().find(|finding| finding.topic == "history table").unwrap();
    assert!(finding.verdict == Verdict::Failure && finding.detail.contains(words), "{finding:?}");
    // A delete without archive does not use history.
    assert_eq!(sweep(&engine, &manual(campaign, BATCH, false)).counts.deleted, 2);
}

/// `ALTER TABLE call_data_history …` in the dialect of each backend. SQLite cannot change a column: it is recreated.
fn alter(db: &TestDatabase, column: &str, sqlite: &str, postgres: &str, mysql: &str) -> String {
    match db.backend() {
        Backend::Sqlite => format!(
            "ALTER TABLE call_data_history DROP COLUMN {column}; ALTER TABLE call_data_history ADD COLUMN {column} {sqlite}"
        ),
        Backend::Postgres => format!("ALTER TABLE call_data_history ALTER COLUMN {column} {postgres}"),
        Backend::Mysql => format!("ALTER TABLE call_data_history MODIFY {column} {mysql}"),
    }
}

on_each_backend! {
    fn a_missing_column(db) {
        refuses(db, "ALTER TABLE call_data_history DROP COLUMN custom_field", "column custom_field is missing there");
    }

    fn a_column_that_only_call_data_has(db) {
        refuses(db, "ALTER TABLE call_data ADD COLUMN agent VARCHAR(10)", "column agent is missing there");
    }

    fn a_different_length(db) {
        let sql = alter(db, "session_id", "VARCHAR(31)", "TYPE VARCHAR(31)", "VARCHAR(31)");
        refuses(db, &sql, "column session_id is ");
    }

    fn a_different_type(db) {
        let sql = alter(db, "priority", "BIGINT NOT NULL DEFAULT 3", "TYPE BIGINT", "BIGINT NOT NULL DEFAULT 3");
        refuses(db, &sql, "column priority is ");
    }

    fn a_different_nullability(db) {
        let sql = alter(db, "caller", "VARCHAR(24) NOT NULL DEFAULT ''", "SET NOT NULL", "VARCHAR(24) NOT NULL");
        refuses(db, &sql, "column caller is ");
    }
}
