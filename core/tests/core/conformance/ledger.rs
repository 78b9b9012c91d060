//! The ledger records exactly what happened, however a run ends.

use callsweep_core::campaign::{Campaign, CampaignId, VdnId};
use callsweep_core::engine::Outcome;
use callsweep_core::number::NewNumber;
use callsweep_core::result_code::ResultCode;
use callsweep_core::run::{NewRun, RequestOrigin, RunKind};
use callsweep_core::store::campaigns;
use callsweep_core::store::runs::{self, RunFilter};
use callsweep_testkit::clock::ManualClock;
use callsweep_testkit::on_each_shape;
use callsweep_testkit::sample::{self, dial, number};
use callsweep_testkit::tables;
use chrono::TimeDelta;

use crate::support::{campaign, criteria, engine, execute, ledger, ledger_of, manual, sweep, watch};

const BATCH: &str = r#"{"customField":"batch"}"#;

fn ten_numbers() -> Vec<NewNumber> {
    (1..=10).map(number).collect()
}

on_each_shape! {
    fn a_run_is_recorded_completely(db) {
        let clock = ManualClock::at("2024-02-29T23:59:58Z");
        let (engine, mut conn) = (engine(db.store_at(clock.clock()), 4), db.connect());
        let campaign = campaign(db, 1, &ten_numbers());
        let started = engine.store.clock().timestamp();
        let run = NewRun {
            kind: RunKind::Request,
            key: Some("k".into()),
            request: Some(RequestOrigin {
                id: "r-1".into(),
                client_address: "192.0.2.1".into(),
                idempotency_key: Some("i".into()),
            }),
            ..manual(campaign, r#"{"customField":"batch","recycleTime":"2020-12-04 17:57:00","recycleType":"3"}"#, true)
        };
        let report = watch(&engine, &run, |_| clock.advance(TimeDelta::seconds(1)));
        let row = ledger_of(&mut conn, &report);
        assert_eq!((row.kind.as_str(), row.actor.as_str(), row.state.as_str()), ("request", "tester", "succeeded"));
        assert_eq!((row.vdn_id, row.campaign_id, row.archive_history), (Some(sample::vdn()), Some(campaign), true));
        assert_eq!(serde_json::from_value::<callsweep_core::criteria::Criteria>(row.criteria).unwrap(), run.criteria);
        assert_eq!((row.result_code.map(ResultCode::as_str), row.request_key.as_deref()), (Some("0200000"), Some("k")));
        assert_eq!((row.request_id.as_deref(), row.client_address.as_deref()), (Some("r-1"), Some("192.0.2.1")));
        assert_eq!((row.counts.deleted, row.chunks, row.stop_reason, row.error), (10, 3, None, None));
        assert_eq!(row.started_at, started);
        assert_eq!(row.finished_at, Some(started + TimeDelta::seconds(2)));
    }

    fn chunks_committed_before_a_failure_are_counted(db) {
        for (n, kind) in [(1, RunKind::Request), (2, RunKind::Manual)] {
            let (engine, mut conn) = (engine(db.store(), 3), db.connect());
            let campaign = campaign(db, n, &ten_numbers());
            let mut other = db.connect();
            let report = watch(&engine, &NewRun { kind, ..manual(campaign, BATCH, true) }, |progress| {
                if progress.chunks == 2 {
                    execute(&mut other, "ALTER TABLE call_data_history RENAME TO gone");
                }
            });
            execute(&mut other, "ALTER TABLE gone RENAME TO call_data_history");
            assert!(matches!(report.outcome, Outcome::Failed(_)), "{:?}", report.outcome);
            assert_eq!(report.result_code(), ResultCode::DatabaseError);
            let row = ledger_of(&mut conn, &report);
            assert_eq!((row.state.as_str(), row.counts.deleted, row.chunks), ("failed", 6, 2));
            assert_eq!(row.result_code.map(ResultCode::as_str), (kind == RunKind::Request).then_some("0200006"));
            assert!(row.error.is_some() && row.finished_at.is_some());
            assert_eq!(Vec::from_iter(tables::ids(&mut conn, campaign)), [7, 8, 9, 10]);
            assert_eq!(Vec::from_iter(tables::history_ids(&mut conn, campaign)), [1, 2, 3, 4, 5, 6]);
            assert_eq!(sweep(&engine, &manual(campaign, BATCH, true)).counts.deleted, 4);
        }
    }

    fn nothing_is_removed_if_the_ledger_write_fails(db) {
        // The run's row is missing, or another process has ended the run.
        for (n, done) in [(1, "DELETE FROM purge_run"), (2, "UPDATE purge_run SET state = 'failed'")] {
            let (engine, mut conn) = (engine(db.store(), 3), db.connect());
            let campaign = campaign(db, n, &ten_numbers());
            let mut other = db.connect();
            let report = watch(&engine, &manual(campaign, BATCH, n == 1), |progress| {
                if progress.chunks == 2 {
                    execute(&mut other, &format!("{done} WHERE id = {}", progress.run_id));
                }
            });
            assert!(matches!(report.outcome, Outcome::Failed(_)), "{:?}", report.outcome);
            assert_eq!((report.counts.deleted, report.chunks), (6, 2));
            assert_eq!(Vec::from_iter(tables::ids(&mut conn, campaign)), [7, 8, 9, 10], "{done}");
        }
    }

    fn matched_is_deleted_plus_barred_while_numbers_change(db) {
        let (engine, mut conn) = (engine(db.store(), 3), db.connect());
        let campaign = campaign(db, 1, &ten_numbers());
        let mut dialler = db.connect();
        let report = watch(&engine, &manual(campaign, BATCH, false), |progress| {
            if progress.chunks == 1 {
                for (id, to) in [(4, 1), (5, 2), (8, 5), (9, 6), (10, 99)] {
                    assert!(dial(&mut dialler, campaign, id, 0, to));
                }
                assert!(!dial(&mut dialler, campaign, 1, 0, 1), "number 1 is gone");
            }
        });
        let row = ledger_of(&mut conn, &report);
        let reasons = row.counts.barred.reasons().map(|(_, numbers)| numbers);
        assert_eq!((row.counts.matched, row.counts.deleted, reasons), (10, 5, [1, 2, 1, 1]));
        assert_eq!(Vec::from_iter(tables::ids(&mut conn, campaign)), [4, 5, 8, 9, 10]);
    }

    fn nothing_to_do_is_recorded_as_succeeded(db) {
        let (engine, mut conn) = (engine(db.store(), 3), db.connect());
        let campaign = campaign(db, 1, &[]);
        for kind in [RunKind::Request, RunKind::Manual, RunKind::Policy] {
            let report = sweep(&engine, &NewRun { kind, ..manual(campaign, BATCH, true) });
            let row = ledger(&mut conn, report.run_id);
            assert_eq!((row.state.as_str(), row.counts.matched, row.kind.as_str()), ("succeeded", 0, kind.as_str()));
            assert_eq!(row.result_code.map(ResultCode::as_str), (kind == RunKind::Request).then_some("0200000"));
        }
    }

    fn runs_are_listed_newest_first_and_filtered(db) {
        let (engine, mut conn) = (engine(db.store(), 3), db.connect());
        let (here, also_here) = (campaign(db, 1, &[]), campaign(db, 2, &[]));
        let elsewhere = Campaign {
            id: CampaignId::try_from(3).unwrap(),
            vdn_id: VdnId::try_from(9_999).unwrap(),
            name: "elsewhere".to_owned(),
            status: callsweep_core::campaign::CampaignStatus::Draft,
        };
        campaigns::create(&mut conn, &elsewhere, sample::created_at()).unwrap();
        let mut ids = Vec::new();
        for (campaign, kind) in [
            (here, RunKind::Manual), (also_here, RunKind::Request), (here, RunKind::Policy), (elsewhere.id, RunKind::Manual),
        ] {
            let mut run = NewRun { kind, criteria: criteria(r#"{"called":"1"}"#), ..manual(campaign, BATCH, false) };
            if campaign == elsewhere.id {
                run.targets[0].vdn_id = elsewhere.vdn_id;
            }
            ids.push(sweep(&engine, &run).run_id);
        }
        let all = RunFilter::default;
        for (filter, expected) in [
            (all(), vec![3, 2, 1, 0]),
            (RunFilter { limit: 2, ..all() }, vec![3, 2]),
            (RunFilter { kind: Some(RunKind::Manual), ..all() }, vec![3, 0]),
            (RunFilter { vdn: Some(sample::vdn()), ..all() }, vec![2, 1, 0]),
            (RunFilter { campaign: Some(here), ..all() }, vec![2, 0]),
            (RunFilter { campaign: Some(here), kind: Some(RunKind::Policy), ..all() }, vec![2]),
            (RunFilter { campaign: Some(here), vdn: Some(elsewhere.vdn_id), ..all() }, vec![]),
        ] {
            let listed: Vec<i64> = runs::list(&mut conn, &filter).unwrap().iter().map(|run| run.id).collect();
            assert_eq!(listed, expected.iter().map(|&n: &usize| ids[n]).collect::<Vec<_>>(), "{filter:?}");
        }
    }
}
