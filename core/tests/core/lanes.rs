//! Several lanes remove the same numbers and give the same counts as one.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use callsweep_core::campaign::CampaignId;
use callsweep_core::engine::{Engine, Outcome};
use callsweep_core::number::{NewNumber, NumberStatus};
use callsweep_core::pace::Pace;
use callsweep_core::run::Counts;
use callsweep_core::store::{AnyConnection, Backend};
use callsweep_core::walk::Walk;
use callsweep_testkit::on_each_backend;
use callsweep_testkit::sample::{dial, number, numbers};
use callsweep_testkit::{TestDatabase, tables};

use crate::support::{
    assert_no_violation, begin, campaign, engine, execute, ledger_of, manual, resume_with_progress, stop_after, sweep,
    wait_for_lock_waits, walk as walk_of, watch,
};

const DUE: &str = r#"{"recycleTime":"2020-12-31 00:00:00","recycleType":"1"}"#;
const LANES: i64 = 3;

/// An engine with three lanes. SQLite uses one of them, and so does MariaDB along the recycle_time index.
fn lanes(db: &TestDatabase, chunk_size: usize) -> Engine {
    let one = engine(db.store(), chunk_size);
    let pace = Pace { lanes: LANES.try_into().unwrap(), ..Pace::fixed(NonZeroUsize::new(chunk_size).unwrap()) };
    Engine { pace, ..one }
}

/// The counts that one lane gives.
fn due(conn: &mut AnyConnection, campaign: CampaignId) -> Counts {
    let mut due = Counts::default();
    for number in tables::numbers(conn, campaign).iter().filter(|number| number.recycle_time.is_some()) {
        due.matched += 1;
        if number.status == 0 {
            due.deleted += 1;
            due.archived += 1;
        } else {
            due.barred.add(number.status, 1);
        }
    }
    due
}

on_each_backend! {
    fn several_lanes_count_what_one_counts(db) {
        let mut conn = db.connect();
        let campaign = campaign(db, 1, &numbers(2_000, 3));
        let due = due(&mut conn, campaign);
        let report = sweep(&lanes(db, 50), &manual(campaign, DUE, true));
        let row = ledger_of(&mut conn, &report);
        assert_eq!(row.counts, due);
        assert_eq!(i64::try_from(tables::history_ids(&mut conn, campaign).len()).unwrap(), due.archived);
        assert_no_violation(&db.store());
    }

    fn several_lanes_along_the_primary_key(db) {
        let mut conn = db.connect();
        let one = |id| NewNumber { status: [NumberStatus::Waiting, NumberStatus::Calling][usize::from(id % 9 == 0)], ..number(id) };
        let campaign = campaign(db, 1, &(1..=21_000).map(one).collect::<Vec<_>>());
        let due = due(&mut conn, campaign);
        let report = sweep(&lanes(db, 500), &manual(campaign, DUE, true));
        assert_eq!(walk_of(&report), Some(Walk::PrimaryKey));
        assert_eq!(ledger_of(&mut conn, &report).counts, due);
        assert_eq!(i64::try_from(tables::history_ids(&mut conn, campaign).len()).unwrap(), due.archived);
        assert_no_violation(&db.store());
    }

    fn a_run_that_is_stopped_and_resumed_repeats_nothing(db) {
        let mut conn = db.connect();
        let campaign = campaign(db, 1, &numbers(2_000, 4));
        let due = due(&mut conn, campaign);
        let engine = lanes(db, 50);
        let stopped = stop_after(&engine, &manual(campaign, DUE, true), 20);
        assert!(stopped.chunks >= 20 && stopped.chunks < 20 + LANES, "{} chunks", stopped.chunks);
        ledger_of(&mut conn, &stopped);
        let report = resume_with_progress(&engine, stopped.run_id, |_| ());
        assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
        // Barred numbers are counted once, too: no window was read twice.
        assert_eq!(ledger_of(&mut conn, &report).counts, due);
        assert_no_violation(&db.store());
    }

    fn a_blocked_chunk_holds_back_later_chunks(db) {
        let mut conn = db.connect();
        let campaign = campaign(db, 1, &(1..=60).map(number).collect::<Vec<_>>());
        // Another program locks a number of the first chunk, and later one of the second.
        let touch = |id| format!("UPDATE call_data SET priority = 9 WHERE campaign_id = {campaign} AND id = {id}");
        let mut holder = begin(db, &touch(3));
        let (engine, run) = (lanes(db, 10), manual(campaign, DUE, true));
        let report = thread::scope(|scope| {
            let sweep = scope.spawn(|| sweep(&engine, &run));
            if db.backend() != Backend::Sqlite {
                wait_for_lock_waits(db, 1);
                // The lane of the second chunk has locked this number and waits for the first chunk. If it waited for
                // ever, so would this statement.
                execute(&mut holder, &touch(13));
            }
            execute(&mut holder, "COMMIT");
            sweep.join().unwrap()
        });
        assert_eq!(ledger_of(&mut conn, &report).counts.archived, 60);
        let history = tables::history(&mut conn, campaign);
        let touched = history.iter().filter(|row| row.number.priority == 9).map(|row| row.number.id);
        let expected = if db.backend() == Backend::Sqlite { vec![3] } else { vec![3, 13] };
        assert_eq!(touched.collect::<Vec<_>>(), expected);
        assert_no_violation(&db.store());
    }

    fn counts_stay_exact_while_a_dialler_works(db) {
        let mut conn = db.connect();
        let campaign = campaign(db, 1, &(1..=1_500).map(number).collect::<Vec<_>>());
        let swept = AtomicBool::new(false);
        let (engine, run) = (lanes(db, 20), manual(campaign, DUE, true));
        let (report, loaded) = thread::scope(|scope| {
            let dialler = scope.spawn(|| {
                let mut conn = db.connect();
                let mut loaded = Vec::new();
                while !swept.load(Ordering::Relaxed) {
                    let id = rand::random_range(1..=1_500);
                    if dial(&mut conn, campaign, id, 0, 1) {
                        loaded.push(id);
                    }
                }
                loaded
            });
            let report = watch(&engine, &run, |_| ());
            swept.store(true, Ordering::Relaxed);
            (report, dialler.join().unwrap())
        });
        assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
        let history = tables::history_ids(&mut conn, campaign);
        assert!(loaded.iter().all(|id| !history.contains(id)), "a number that the dialler had loaded was removed");
        assert_eq!(history.len() + loaded.len(), 1_500);
        assert_eq!(ledger_of(&mut conn, &report).counts.archived, i64::try_from(history.len()).unwrap());
        assert_no_violation(&db.store());
    }
}
