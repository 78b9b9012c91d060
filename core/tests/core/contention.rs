//! Lock waits, deadlocks, lost connections and unanswered COMMITs: a run retries, counts the retries, and loses
//! nothing.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;

use callsweep_core::campaign::CampaignId;
use callsweep_core::clock::Clock;
use callsweep_core::engine::{Outcome, PurgeReport};
use callsweep_core::number::{CustomField, NewNumber};
use callsweep_core::run::{NewRun, RunKind};
use callsweep_core::settings::DatabaseSettings;
use callsweep_core::stop_reason::StopReason;
use callsweep_core::store::{AnyConnection, Backend, Store, numbers};
use callsweep_testkit::TestDatabase;
use callsweep_testkit::on_each_backend;
use callsweep_testkit::sample::number;
use callsweep_testkit::tables;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::proxy::{self, Cut, When};
use crate::support::{
    POLL_INTERVAL, assert_no_violation, begin, campaign, engine, execute, ledger_of, manual, sweep, waiting, watch,
    with_retry_signal,
};

const BATCH: &str = r#"{"customField":"batch"}"#;

fn ten_numbers() -> Vec<NewNumber> {
    (1..=10).map(number).collect()
}

/// Returns when this many sessions wait for a lock, after a retry, or when the sweep has ended without either.
fn wait_for_lock_waits(db: &TestDatabase, sessions: i64, retried: &mpsc::Receiver<()>) {
    let mut conn = db.connect();
    while waiting(&mut conn) < sessions && retried.recv_timeout(POLL_INTERVAL) == Err(RecvTimeoutError::Timeout) {}
}

/// Sweeps while another program holds the row locks of `sql`; that program commits as soon as `release` returns.
fn sweep_during(
    db: &TestDatabase,
    campaign: CampaignId,
    sql: &str,
    release: impl FnOnce(&mpsc::Receiver<()>),
) -> PurgeReport {
    let engine = engine(db.store(), 4);
    let mut holder = begin(db, sql);
    let (sender, retried) = mpsc::channel();
    thread::scope(|scope| {
        let run = manual(campaign, BATCH, true);
        let sweep = scope.spawn(move || with_retry_signal(sender, || watch(&engine, &run, |_| ())));
        release(&retried);
        execute(&mut holder, "COMMIT");
        sweep.join().unwrap()
    })
}

/// A row lock that is held for longer than the lock timeout: the chunk is retried, and loses nothing.
pub(crate) fn row_lock_is_waited_for(db: &TestDatabase) {
    let mut conn = db.connect();
    let campaign = campaign(db, 1, &ten_numbers());
    let sql = format!("UPDATE call_data SET priority = 9 WHERE campaign_id = {campaign} AND id = 6");
    let report = sweep_during(db, campaign, &sql, |retried| retried.recv().unwrap());
    assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
    assert!(report.retries > 0);
    assert_eq!(ledger_of(&mut conn, &report).counts.archived, 10);
    let moved = tables::history(&mut conn, campaign);
    assert_eq!(moved.iter().map(|row| row.number.priority).collect::<Vec<_>>(), [3, 3, 3, 3, 3, 9, 3, 3, 3, 3]);
}

/// A deadlock of which the sweep is the victim: the chunk is retried, and loses nothing.
pub(crate) fn deadlock_is_retried(db: &TestDatabase) {
    let mut conn = db.connect();
    let (here, heavy) = (campaign(db, 1, &ten_numbers()), campaign(db, 2, &(1..=500).map(number).collect::<Vec<_>>()));
    let touch = |id| format!("UPDATE call_data SET priority = 4 WHERE campaign_id = {here} AND id = {id}");
    let mut gate = begin(db, &touch(2));
    // The deadlock must hit the sweep. InnoDB rolls back the transaction that has written less; PostgreSQL the one
    // whose deadlock_timeout ends first.
    let mut other = begin(db, &format!("UPDATE call_data SET priority = 4 WHERE campaign_id = {heavy}"));
    if db.backend() == Backend::Postgres {
        execute(&mut other, "SET deadlock_timeout = '10min'");
    }
    execute(&mut other, &touch(3));
    let (engine, run) = (engine(db.store(), 5_000), manual(here, BATCH, true));
    let (sender, retried) = mpsc::channel();
    let report = thread::scope(|scope| {
        // The chunk has locked number 1 and waits for 2. The other transaction has locked 3 and waits for 1. When
        // the lock on 2 is released, the chunk waits for 3: a deadlock.
        let sweep = scope.spawn(|| with_retry_signal(sender, || sweep(&engine, &run)));
        wait_for_lock_waits(db, 1, &retried);
        let other = scope.spawn(move || {
            execute(&mut other, &touch(1));
            execute(&mut other, "COMMIT");
        });
        wait_for_lock_waits(db, 2, &retried);
        execute(&mut gate, "COMMIT");
        other.join().unwrap();
        sweep.join().unwrap()
    });
    assert!(report.retries > 0);
    assert_eq!(ledger_of(&mut conn, &report).counts.archived, 10);
    let moved = tables::history(&mut conn, here);
    assert_eq!(moved.iter().filter(|row| row.number.priority == 4).count(), 3);
}

on_each_backend! {
    fn a_chunk_waits_for_a_row_lock_and_retries(db) {
        row_lock_is_waited_for(db);
    }

    fn a_number_that_the_dialler_takes_while_the_chunk_waits_stays(db) {
        let mut conn = db.connect();
        let campaign = campaign(db, 1, &ten_numbers());
        let sql = format!("UPDATE call_data SET status = 1 WHERE campaign_id = {campaign} AND id = 6");
        let report = sweep_during(db, campaign, &sql, |retried| wait_for_lock_waits(db, 1, retried));
        assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
        let row = ledger_of(&mut conn, &report);
        assert_eq!((row.counts.matched, row.counts.deleted, row.counts.barred.ongoing_task), (10, 9, 1));
        assert_eq!(Vec::from_iter(tables::ids(&mut conn, campaign)), [6]);
        assert!(!tables::history_ids(&mut conn, campaign).contains(&6));
    }

    fn a_campaign_that_starts_while_the_chunk_waits_bars_every_number(db) {
        let mut conn = db.connect();
        let campaign = campaign(db, 1, &ten_numbers());
        let sql = format!("UPDATE campaign SET status = 2 WHERE id = {campaign}");
        let report = sweep_during(db, campaign, &sql, |retried| wait_for_lock_waits(db, 1, retried));
        assert!(
            matches!(report.outcome, Outcome::Refused(_) | Outcome::Stopped(StopReason::CampaignExecuting)),
            "{:?}",
            report.outcome
        );
        assert_eq!(ledger_of(&mut conn, &report).counts.deleted, 0);
        assert_eq!(tables::ids(&mut conn, campaign).len(), 10);
    }

    fn a_number_that_starts_to_match_while_the_chunk_waits_is_moved_or_stays(db) {
        // Number 4 starts to match and number 6 stops matching: the counts are equal, but the sets differ.
        let mut conn = db.connect();
        let other = NewNumber { custom_field: Some(CustomField::parse("other").unwrap()), ..number(4) };
        let numbers: Vec<_> = (1..=8).map(|id| if id == 4 { other.clone() } else { number(id) }).collect();
        let campaign = campaign(db, 1, &numbers);
        let sql = format!(
            "UPDATE call_data SET custom_field = CASE id WHEN 4 THEN 'batch' ELSE 'other' END \
             WHERE campaign_id = {campaign} AND id IN (4, 6)"
        );
        let report = sweep_during(db, campaign, &sql, |retried| wait_for_lock_waits(db, 1, retried));
        let (stay, moved) = (tables::ids(&mut conn, campaign), tables::history_ids(&mut conn, campaign));
        assert!(stay.is_disjoint(&moved));
        assert_eq!(&stay | &moved, (1..=8).collect());
        assert!(stay.contains(&6));
        assert_eq!(usize::try_from(ledger_of(&mut conn, &report).counts.archived).unwrap(), moved.len());
    }

    fn a_deadlock_is_retried(db) {
        // SQLite has one writer: no deadlocks.
        if db.backend() != Backend::Sqlite {
            deadlock_is_retried(db);
        }
    }

    fn a_commit_that_succeeds_late_skips_nothing(db) {
        if db.backend() == Backend::Sqlite {
            return; // SQLite has no connection that could be lost.
        }
        // The unanswered COMMIT is that of the first of several chunks, and that of the only one.
        for (id, chunk) in [(1, 4), (2, 10)] {
            let campaign = campaign(db, id, &ten_numbers());
            let proxy = proxy::before(db);
            let settings = DatabaseSettings { url: proxy.url.clone().into(), ..DatabaseSettings::default() };
            let engine = engine(Store::open(&settings, Clock::system()).unwrap(), chunk);
            proxy.arm(Cut { commit: true, when: When::Late });
            let report = sweep(&engine, &NewRun { kind: RunKind::Request, ..manual(campaign, BATCH, true) });
            assert!(!proxy.is_armed());
            assert_eq!(ledger_of(&mut db.connect(), &report).counts.archived, 10);
            assert_eq!(tables::history_ids(&mut db.connect(), campaign).len(), 10);
        }
        assert_no_violation(&db.store());
    }

    fn an_import_whose_commit_gets_no_answer_inserts_once(db) {
        if db.backend() == Backend::Sqlite {
            return; // SQLite has no connection that could be lost.
        }
        for (id, when) in [(1, When::Before), (2, When::Meanwhile), (3, When::After)] {
            let campaign = campaign(db, id, &[]);
            let proxy = proxy::before(db);
            let settings = DatabaseSettings { url: proxy.url.clone().into(), ..DatabaseSettings::default() };
            let store = Store::open(&settings, Clock::system()).unwrap();
            proxy.arm(Cut { commit: true, when });
            numbers::import(&store, campaign, &ten_numbers()).unwrap();
            assert!(!proxy.is_armed());
            assert_eq!(tables::ids(&mut db.connect(), campaign), (1..=10).collect(), "{when:?}");
        }
    }

    fn a_lost_connection_is_reopened(db) {
        let campaign = campaign(db, 1, &ten_numbers());
        let mut other = db.connect();
        let report = watch(&engine(db.store(), 2), &manual(campaign, BATCH, true), |_| disconnect_others(&mut other));
        assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
        let mut conn = db.connect();
        let row = ledger_of(&mut conn, &report);
        assert_eq!((row.counts.archived, row.chunks >= 5), (10, true));
        assert_eq!(tables::history_ids(&mut conn, campaign).len(), 10);
    }
}

/// Terminates every other session of this database, as an administrator would.
fn disconnect_others(conn: &mut AnyConnection) {
    #[derive(QueryableByName)]
    struct Session {
        #[diesel(sql_type = BigInt)]
        id: i64,
    }
    match conn.backend() {
        Backend::Sqlite => {}
        Backend::Postgres => execute(
            conn,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        ),
        Backend::Mysql => {
            let others = "SELECT CAST(id AS SIGNED) AS id FROM information_schema.processlist \
                          WHERE db = DATABASE() AND id <> CONNECTION_ID()";
            for session in diesel::sql_query(others).load::<Session>(conn).unwrap() {
                execute(conn, &format!("KILL {}", session.id));
            }
        }
    }
}
