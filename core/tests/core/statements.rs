//! A column that changes its type while a process works fails no later call: statements are prepared again.

use std::num::NonZeroU32;

use callsweep_core::campaign::CampaignId;
use callsweep_core::clock::Clock;
use callsweep_core::engine::restore::restore;
use callsweep_core::engine::{BatchOutcome, Control, Engine, Outcome, purge, purge_batch};
use callsweep_core::run::{NewRun, RunKind};
use callsweep_core::store::{AnyConnection, Backend, DatabaseSettings, Store, StoreError, campaigns, runs};
use callsweep_testkit::sample::{number, vdn};
use callsweep_testkit::{TestDatabase, on_each_backend, tables};

use crate::restore::restore_of;
use crate::support::{assert_no_violation, campaign, engine, execute, manual, sweep};

/// Connections of the pool: each has prepared the old statements.
const CONNECTIONS: usize = 3;

fn store(db: &TestDatabase) -> Store {
    let pool_size = NonZeroU32::new(CONNECTIONS.try_into().unwrap()).unwrap();
    Store::open(&DatabaseSettings { pool_size, ..db.settings() }, Clock::system()).unwrap()
}

/// Changes what `SELECT name FROM campaign` and `SELECT actor FROM purge_run` return. SQLite has no such change.
fn change_types(conn: &mut AnyConnection, length: u32) {
    let alter = |table: &str, column: &str| match conn.backend() {
        Backend::Sqlite => format!("ALTER TABLE {table} ADD COLUMN {column}_{length} VARCHAR({length})"),
        Backend::Postgres => format!("ALTER TABLE {table} ALTER COLUMN {column} TYPE VARCHAR({length})"),
        Backend::Mysql => format!("ALTER TABLE {table} MODIFY {column} VARCHAR({length}) NOT NULL"),
    };
    let (campaign, run) = (alter("campaign", "name"), alter("purge_run", "actor"));
    execute(conn, &campaign);
    execute(conn, &run);
}

fn find(conn: &mut AnyConnection, campaign: CampaignId) -> Result<(), StoreError> {
    campaigns::find(conn, vdn(), campaign).map(|found| assert!(found.is_some()))
}

/// Every connection of the pool has prepared what looks for a campaign.
fn prepare(store: &Store, campaign: CampaignId) {
    let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| store.connection().unwrap()).collect();
    for conn in &mut connections {
        find(conn, campaign).unwrap();
    }
}

/// A sweep, its restore, requests alone and with others, and a look into the ledger.
fn everything_works(engine: &Engine, here: CampaignId) {
    let request = NewRun { kind: RunKind::Request, ..manual(here, r#"{"sessionId":"s1"}"#, true) };
    let by_batch =
        NewRun { kind: RunKind::Request, ..manual(here, r#"{"sessionId":"s2","customField":"batch"}"#, true) };
    let archived = [&request, &by_batch].map(|run| {
        let report = purge(engine, run, &mut Control::unattended()).unwrap();
        assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
        assert_eq!(report.counts.archived, 1);
        report.run_id
    });
    let shared = NewRun { kind: RunKind::Request, ..manual(here, r#"{"sessionId":"s3"}"#, true) };
    let done = purge_batch(engine, &mut engine.store.connection().unwrap(), &[shared]);
    let [BatchOutcome::Committed(together)] = &done[..] else { panic!("{done:?}") };
    let swept = sweep(engine, &manual(here, r#"{"customField":"batch"}"#, true));
    assert_eq!(swept.counts.archived, 7);
    for run_id in archived.into_iter().chain([together.run_id, swept.run_id]) {
        assert!(engine.store.with_connection(|conn| runs::find(conn, run_id)).unwrap().is_some());
        let report = restore(engine, &restore_of(run_id), &mut Control::unattended()).unwrap();
        assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
    }
}

on_each_backend! {
    fn a_column_that_changes_its_type_fails_no_later_run(db) {
        let here = campaign(db, 1, &(1..=10).map(number).collect::<Vec<_>>());
        let (engine, mut conn) = (engine(store(db), 3), db.connect());
        for length in [120, 130, 140] {
            engine.store.prepare_again();
            prepare(&engine.store, here);
            everything_works(&engine, here);
            change_types(&mut conn, length);
            everything_works(&engine, here);
        }
        assert_eq!(tables::ids(&mut conn, here).len(), 10);
        assert_no_violation(&engine.store);
    }

    fn a_connection_fails_once_and_then_prepares_again(db) {
        let here = campaign(db, 1, &[number(1)]);
        let (store, mut conn) = (store(db), db.connect());
        prepare(&store, here);
        change_types(&mut conn, 120);
        // All are used, so that each is seen twice.
        let failed = (0..2).map(|_| {
            let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| store.connection().unwrap()).collect();
            connections.iter_mut().filter_map(|conn| find(conn, here).err()).count()
        });
        let expected = if db.backend() == Backend::Postgres { [CONNECTIONS, 0] } else { [0, 0] };
        assert_eq!(failed.collect::<Vec<_>>(), expected);
        // Whoever asks for it is spared the failure.
        change_types(&mut conn, 130);
        store.prepare_again();
        prepare(&store, here);
        change_types(&mut conn, 140);
        store.with_connection(|conn| find(conn, here)).unwrap();
    }
}
