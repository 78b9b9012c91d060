//! `verify` reports each violation by name, and reports nothing during normal work.

use callsweep_core::engine::Control;
use callsweep_core::engine::restore::restore;
use callsweep_core::engine::verify::{Check, Report, verify};
use callsweep_core::number::NewNumber;
use callsweep_core::run::{NewRun, RunKind};
use callsweep_core::store::{AnyConnection, Store};
use callsweep_testkit::on_each_backend;
use callsweep_testkit::sample::{self, number};

use crate::restore::restore_of;
use crate::support::{assert_no_violation, campaign, engine, execute, manual, sweep};

const BATCH: &str = r#"{"customField":"batch"}"#;
const MOVED: &str = "campaign_id, id, called, priority, status, created_at, updated_at";

fn look(store: &Store) -> Report {
    verify(store, &mut |_| true).unwrap().unwrap()
}

/// Expects exactly one violation with this text.
#[track_caller]
fn finds(store: &Store, check: Check, part: &str) {
    let report = look(store);
    assert_eq!(report.violations.iter().map(|v| v.check).collect::<Vec<_>>(), [check], "{report:?}");
    assert!(report.violations[0].detail.contains(part), "{report:?}");
}

fn columns(conn: &mut AnyConnection, run: i64, set: &str) {
    execute(conn, &format!("UPDATE purge_run SET {set} WHERE id = {run}"));
}

on_each_backend! {
    fn each_violation_is_named(db) {
        let (engine, mut conn) = (engine(db.store(), 4), db.connect());
        let numbers: Vec<NewNumber> = (1..=10).map(number).collect();
        let campaign = campaign(db, 1, &numbers);
        assert_no_violation(&engine.store);
        let run = sweep(&engine, &manual(campaign, BATCH, true)).run_id;
        let request = NewRun { kind: RunKind::Request, ..manual(campaign, r#"{"called":"1"}"#, true) };
        sweep(&engine, &request);
        let store = &engine.store;
        assert_no_violation(store);
        let report = look(store);
        assert_eq!((report.campaigns, report.history_rows, report.runs), (1, 10, 2));

        // The same number is in both tables; an id that was imported again would be another number.
        let copy = format!("INSERT INTO call_data ({MOVED}) SELECT {MOVED} FROM call_data_history WHERE id = 7");
        execute(&mut conn, &copy);
        finds(store, Check::InBothTables, "campaign 1: 1 number(s), id 7 in call_data and");
        execute(&mut conn, "UPDATE call_data SET created_at = '2021-01-01 00:00:00'");
        assert_no_violation(store);
        execute(&mut conn, "DELETE FROM call_data");

        // Number 7 is in history under another run, too.
        let other = sweep(&engine, &NewRun { kind: RunKind::Request, ..manual(campaign, BATCH, true) }).run_id;
        let twice = format!(
            "INSERT INTO call_data_history ({MOVED}, archived_at, run_id) SELECT {MOVED}, archived_at, {other} \
             FROM call_data_history WHERE id = 7"
        );
        execute(&mut conn, &twice);
        columns(&mut conn, other, "archived = 1, deleted = 1, matched = 1");
        finds(store, Check::TwiceInHistory, "id 7 in history twice");
        execute(&mut conn, &format!("DELETE FROM call_data_history WHERE run_id = {other}"));
        finds(store, Check::LedgerMatchesHistory, "archived 1 - restored 0 - pruned 0 = 1, but history has 0");
        columns(&mut conn, other, "archived = 0, deleted = 0, matched = 0");

        // Wrong counts in the ledger.
        columns(&mut conn, run, "restored = 1");
        finds(store, Check::LedgerMatchesHistory, "= 9, but history has 10");
        columns(&mut conn, run, "restored = 0, pruned = 2");
        finds(store, Check::LedgerMatchesHistory, "= 8, but history has 10");
        columns(&mut conn, run, "pruned = 0");
        columns(&mut conn, other, "matched = 3");
        finds(store, Check::RunAddsUp, "matched 3 is not deleted 0 + barred 0");
        columns(&mut conn, other, "barred = 3");
        finds(store, Check::RunAddsUp, "barred 3 is not the sum of its reasons, 0");
        columns(&mut conn, other, "matched = 1, deleted = 1, barred = 0");
        finds(store, Check::RunAddsUp, "archived 0 should be 1");
        columns(&mut conn, other, "matched = 0, deleted = 0, restored = 1, pruned = -1");
        finds(store, Check::RunAddsUp, "is more than archived 0");
        columns(&mut conn, other, "restored = 0, pruned = 0");
        execute(&mut conn, &format!("UPDATE purge_run_campaign SET chunks = 9 WHERE run_id = {run}"));
        finds(store, Check::RunIsSumOfCampaigns, "chunks 3, but its 1 campaign row(s) sum up to 9");
        execute(&mut conn, &format!("UPDATE purge_run_campaign SET chunks = 3 WHERE run_id = {run}"));

        // Rows whose run or campaign is missing.
        execute(&mut conn, "UPDATE purge_run_campaign SET run_id = 77");
        let report = look(store);
        assert!(report.violations.iter().any(|v| v.detail.contains("purge_run_campaign has row(s) of run 77")), "{report:?}");
        assert!(report.violations.iter().any(|v| v.check == Check::RunIsSumOfCampaigns), "{report:?}");
        execute(&mut conn, &format!("UPDATE purge_run_campaign SET run_id = {run}"));
        execute(&mut conn, "INSERT INTO purge_run_control (run_id, pace, actor, updated_at) VALUES (78, '{}', 'x', '2024-01-01 00:00:00')");
        finds(store, Check::WithoutRun, "purge_run_control has row(s) of run 78");
        execute(&mut conn, "DELETE FROM purge_run_control");
        execute(&mut conn, "UPDATE call_data_history SET run_id = 79 WHERE id = 7");
        let report = look(store);
        assert!(report.violations.iter().any(|v| v.detail == "1 row(s) of call_data_history name run 79, which is not in the ledger"), "{report:?}");
        execute(&mut conn, &format!("UPDATE call_data_history SET run_id = {run} WHERE id = 7"));
        sample::insert(&mut conn, campaign, &[number(11)]);
        execute(&mut conn, "UPDATE call_data SET campaign_id = 5");
        finds(store, Check::WithoutCampaign, "campaign 5, which does not exist");
        execute(&mut conn, "DELETE FROM call_data");
        assert_no_violation(store);
    }

    fn a_run_in_progress_is_skipped_until_its_process_is_dead(db) {
        let (engine, mut conn) = (engine(db.store(), 4), db.connect());
        let campaign = campaign(db, 1, &[number(1)]);
        let run = sweep(&engine, &manual(campaign, BATCH, true)).run_id;
        columns(&mut conn, run, "state = 'paused', archived = 5");
        let report = look(&engine.store);
        assert_eq!((report.violations, report.skipped), (vec![], vec![(run, "it is paused".to_owned())]));
        columns(&mut conn, run, "heartbeat_at = '2020-01-01 00:00:00'");
        assert_eq!(look(&engine.store).skipped, []);
        assert!(!look(&engine.store).violations.is_empty());
    }

    fn many_windows_count_each_row_once(db) {
        let engine = engine(db.store(), 5_000);
        let numbers: Vec<NewNumber> = (-12_000..12_000).map(|id| NewNumber { id, ..number(1) }).collect();
        let campaign = campaign(db, 1, &numbers);
        sweep(&engine, &manual(campaign, BATCH, true));
        assert_eq!(look(&engine.store).history_rows, 24_000);
        assert_no_violation(&engine.store);
        // The callback can stop it.
        let mut windows = 0;
        let stopped = verify(&engine.store, &mut |_| {
            windows += 1;
            windows < 2
        });
        assert_eq!((stopped.unwrap(), windows), (None, 2));
    }

    fn concurrent_work_causes_no_false_violation(db) {
        let engine = engine(db.store(), 3);
        let numbers: Vec<NewNumber> = (1..=60).map(number).collect();
        let (one, two) = (campaign(db, 1, &numbers), campaign(db, 2, &numbers));
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _ends = SetOnDrop(&done);
                for id in 1..=60 {
                    let called = format!(r#"{{"called":"1380{id:07}"}}"#);
                    sweep(&engine, &NewRun { kind: RunKind::Request, ..manual(one, &called, true) });
                    if id % 20 == 0 {
                        let run = sweep(&engine, &manual(two, BATCH, true)).run_id;
                        restore(&engine, &restore_of(run), &mut Control::unattended()).unwrap();
                    }
                }
            });
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                assert_eq!(look(&engine.store).violations, []);
            }
        });
        assert_no_violation(&engine.store);
    }
}

/// Signals the end, also after a panic.
struct SetOnDrop<'a>(&'a std::sync::atomic::AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}
