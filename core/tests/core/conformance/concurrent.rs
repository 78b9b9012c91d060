//! Concurrent runs on one campaign count each number once.

use std::sync::{Barrier, mpsc};
use std::thread;

use callsweep_core::campaign::CampaignId;
use callsweep_core::engine::Error;
use callsweep_core::engine::{Outcome, PurgeReport};
use callsweep_core::number::NewNumber;
use callsweep_core::result_code::ResultCode;
use callsweep_core::run::RunState;
use callsweep_core::run::{NewRun, RunKind};
use callsweep_core::store::AnyConnection;
use callsweep_core::store::runs::{self, RunFilter};
use callsweep_testkit::on_each_shape;
use callsweep_testkit::sample::{number, numbers, try_dial};
use callsweep_testkit::tables;

use crate::support::{campaign, engine, ledger_of, manual, sweep, watch};

const BATCH: &str = r#"{"customField":"batch"}"#;

/// Every number that has a recycle time.
const ALL: &str = r#"{"recycleTime":"2020-12-31 00:00:00","recycleType":"1"}"#;

fn waiting(conn: &mut AnyConnection, campaign: CampaignId) -> i64 {
    let all = tables::numbers(conn, campaign);
    i64::try_from(all.iter().filter(|number| number.status == 0 && number.recycle_time.is_some()).count()).unwrap()
}

/// Checks that each number is in history once, under the run that counted it.
fn check_accounts(conn: &mut AnyConnection, campaign: CampaignId, reports: &[PurgeReport]) {
    assert_eq!(waiting(conn, campaign), 0);
    let ids = tables::history_ids(conn, campaign);
    assert!(ids.is_disjoint(&tables::ids(conn, campaign)));
    let history = tables::history(conn, campaign);
    for report in reports {
        let archived = history.iter().filter(|row| row.run_id == report.run_id).count();
        assert_eq!(ledger_of(conn, report).counts.archived, i64::try_from(archived).unwrap());
    }
}

fn sum(reports: &[PurgeReport], of: impl Fn(&PurgeReport) -> i64) -> i64 {
    reports.iter().map(of).sum()
}

on_each_shape! {
    fn identical_requests_sum_to_the_numbers_removed(db) {
        const CALLS: usize = 32;
        for (n, size, archive) in [(1, 5_000, true), (2, 20, false)] {
            let (engine, mut conn) = (engine(db.store(), size), db.connect());
            let campaign = campaign(db, n, &(1..=200).map(number).collect::<Vec<_>>());
            let run = NewRun { kind: RunKind::Request, ..manual(campaign, BATCH, archive) };
            let together = Barrier::new(CALLS);
            let reports: Vec<PurgeReport> = thread::scope(|scope| {
                let call = || {
                    together.wait();
                    sweep(&engine, &run)
                };
                let calls: Vec<_> = (0..CALLS).map(|_| scope.spawn(call)).collect();
                calls.into_iter().map(|call| call.join().unwrap()).collect()
            });
            assert_eq!(sum(&reports, |report| report.counts.deleted), 200);
            assert!(reports.iter().all(|report| report.result_code() == ResultCode::Success));
            assert!(tables::ids(&mut conn, campaign).is_empty());
            assert_eq!(tables::history_ids(&mut conn, campaign).len(), if archive { 200 } else { 0 });
            for report in &reports {
                assert_eq!(ledger_of(&mut conn, report).state, RunState::Succeeded);
            }
            let filter = RunFilter { campaign: Some(campaign), limit: 100, ..RunFilter::default() };
            let rows = runs::list(&mut conn, &filter).unwrap();
            assert_eq!(rows.iter().map(|row| row.counts.deleted).sum::<i64>(), 200);
        }
    }

    fn requests_of_all_sizes_share_the_work(db) {
        let mut conn = db.connect();
        let campaign = campaign(db, 1, &numbers(400, 5));
        let run = NewRun { kind: RunKind::Request, ..manual(campaign, ALL, true) };
        let waiting = waiting(&mut conn, campaign);
        let reports: Vec<PurgeReport> = thread::scope(|scope| {
            let sweeps = [3, 10, 50, 5_000].map(|size| {
                let (engine, run) = (engine(db.store(), size), &run);
                scope.spawn(move || sweep(&engine, run))
            });
            sweeps.into_iter().map(|sweep| sweep.join().unwrap()).collect()
        });
        assert_eq!(sum(&reports, |report| report.counts.archived), waiting);
        check_accounts(&mut conn, campaign, &reports);
    }

    fn one_sweep_holds_the_campaign_while_requests_continue(db) {
        let mut conn = db.connect();
        let campaign = campaign(db, 1, &numbers(400, 6));
        let waiting = waiting(&mut conn, campaign);
        let (big, small) = (engine(db.store(), 50), engine(db.store(), 7));
        let run = manual(campaign, ALL, true);
        let mut beside = Vec::new();
        let first = watch(&big, &run, |progress| {
            if progress.chunks == 2 {
                beside.push(watch(&small, &run, |_| ()));
                beside.push(sweep(&small, &NewRun { kind: RunKind::Request, ..manual(campaign, ALL, true) }));
            }
        });
        assert!(matches!(first.outcome, Outcome::Succeeded), "{:?}", first.outcome);
        assert!(matches!(beside[0].outcome, Outcome::Refused(Error::Locked { run_id, .. }) if run_id == first.run_id));
        assert_eq!(beside[0].counts.deleted, 0);
        beside.push(first);
        assert_eq!(sum(&beside, |report| report.counts.archived), waiting);
        check_accounts(&mut conn, campaign, &beside);
    }

    fn numbers_that_a_dialler_takes_during_a_sweep_stay(db) {
        let (engine, mut conn) = (engine(db.store(), 4), db.connect());
        let campaign = campaign(db, 1, &(1..=300).map(number).collect::<Vec<_>>());
        let (began, begins) = mpsc::channel();
        let (report, taken) = thread::scope(|scope| {
            let dialler = scope.spawn(|| {
                let mut conn = db.connect();
                let mut taken = Vec::new();
                for id in (1..=300).rev().filter(|id| id % 3 == 0) {
                    // It may be the victim of a deadlock with the sweep; then it has not taken the number.
                    if try_dial(&mut conn, campaign, id, 0, 1).unwrap_or(false) {
                        taken.push(id);
                    }
                    // The channel is closed if the sweep has already ended.
                    let _ = began.send(());
                }
                taken
            });
            begins.recv().unwrap();
            let report = sweep(&engine, &manual(campaign, BATCH, true));
            (report, dialler.join().unwrap())
        });
        let left: Vec<NewNumber> = taken.iter().rev().map(|&id| number(id)).collect();
        assert!(!left.is_empty());
        let stays: Vec<(i64, i16)> = tables::numbers(&mut conn, campaign).iter().map(|n| (n.id, n.status)).collect();
        assert_eq!(stays, left.iter().map(|number| (number.id, 1)).collect::<Vec<_>>());
        assert_eq!(tables::history_ids(&mut conn, campaign), (1..=300).filter(|id| !taken.contains(id)).collect());
        assert!(matches!(report.outcome, Outcome::Succeeded));
        assert_eq!(usize::try_from(ledger_of(&mut conn, &report).counts.archived).unwrap(), 300 - taken.len());
    }
}
