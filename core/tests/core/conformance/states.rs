//! Barred numbers and campaigns: what must not be removed, on every path.

use callsweep_core::campaign::{CampaignId, CampaignStatus, VdnId};
use callsweep_core::engine::Error;
use callsweep_core::engine::{Control, Outcome, purge};
use callsweep_core::number::NewNumber;
use callsweep_core::result_code::ResultCode;
use callsweep_core::rules::{Barred, OngoingTask};
use callsweep_core::run::{Counts, RunKind};
use callsweep_core::store::runs::{self, RunFilter};
use callsweep_testkit::on_each_shape;
use callsweep_testkit::sample::{self, dial, number};
use callsweep_testkit::tables;

use crate::support::{STATUSES, campaign, engine, ledger, manual, sweep};

const BATCH: &str = r#"{"customField":"batch"}"#;

/// Ids 1 to 5 have the five statuses.
fn one_of_each() -> Vec<NewNumber> {
    (1..).zip(STATUSES).map(|(id, status)| NewNumber { status, ..number(id) }).collect()
}

on_each_shape! {
    fn only_a_waiting_number_is_removed(db) {
        let (mut engine, mut conn) = (engine(db.store(), 5_000), db.connect());
        let mut next = 1..;
        for rules in [OngoingTask::Campaign, OngoingTask::Number] {
            engine.rules = rules;
            for status in [CampaignStatus::Draft, CampaignStatus::Suspended, CampaignStatus::Completed] {
                for archive in [true, false] {
                    let campaign = sample::campaign(&mut conn, next.next().unwrap(), status);
                    sample::insert(&mut conn, campaign, &one_of_each());
                    let report = sweep(&engine, &manual(campaign, BATCH, archive));
                    let barred = Barred { call_ongoing: 1, call_completed: 2, ongoing_task: 1, unknown_status: 0 };
                    let counts = Counts { matched: 5, deleted: 1, archived: i64::from(archive), barred };
                    assert_eq!(report.counts, counts, "{rules:?} {status:?}");
                    assert_eq!(report.result_code(), ResultCode::Success);
                    assert_eq!(Vec::from_iter(tables::ids(&mut conn, campaign)), [2, 3, 4, 5]);
                }
            }
        }
    }

    fn an_executing_campaign_bars_all_or_only_loaded_numbers(db) {
        let (mut engine, mut conn) = (engine(db.store(), 5_000), db.connect());
        let mut next = 1..;
        // An unknown status of a campaign is treated as executing.
        for status in [CampaignStatus::Executing, CampaignStatus::Unknown(9), CampaignStatus::Unknown(0)] {
            for kind in [RunKind::Request, RunKind::Manual] {
                let campaign = sample::campaign(&mut conn, next.next().unwrap(), status);
                sample::insert(&mut conn, campaign, &one_of_each());
                engine.rules = OngoingTask::Campaign;
                for members in [BATCH, r#"{"customField":"nothing has this"}"#] {
                    let run = callsweep_core::run::NewRun { kind, ..manual(campaign, members, true) };
                    let report = purge(&engine, &run, &mut Control::unattended()).unwrap();
                    assert!(matches!(report.outcome, Outcome::Refused(Error::CampaignExecuting)), "{:?}", report.outcome);
                    assert_eq!((report.result_code(), report.counts), (ResultCode::StateForbids, Counts::default()));
                    let row = ledger(&mut conn, report.run_id);
                    assert_eq!((row.state.as_str(), row.counts.deleted, row.finished_at.is_some()), ("refused", 0, true));
                    assert!(row.stop_reason.is_some_and(|reason| reason.contains("executing")));
                }
                assert_eq!(tables::ids(&mut conn, campaign).len(), 5);
                engine.rules = OngoingTask::Number;
                assert_eq!(sweep(&engine, &manual(campaign, BATCH, true)).counts.deleted, 1);
                assert_eq!(Vec::from_iter(tables::ids(&mut conn, campaign)), [2, 3, 4, 5]);
            }
        }
    }

    fn a_number_with_an_unknown_status_stays(db) {
        let (engine, mut conn) = (engine(db.store(), 5_000), db.connect());
        let unknown = [3, 4, 7, 77, -1, i16::MAX, i16::MIN];
        let numbers: Vec<NewNumber> = (1..8).map(number).collect();
        let campaign = campaign(db, 1, &numbers);
        for (id, status) in (1..).zip(unknown) {
            assert!(dial(&mut conn, campaign, id, 0, status));
        }
        let report = sweep(&engine, &manual(campaign, BATCH, true));
        assert_eq!(report.counts.barred, Barred { unknown_status: 7, ..Barred::default() });
        assert_eq!(report.result_code(), ResultCode::StateForbids);
        assert_eq!(tables::ids(&mut conn, campaign).len(), 7);
    }

    fn only_barred_matches_give_state_forbids(db) {
        let (engine, mut conn) = (engine(db.store(), 5_000), db.connect());
        let campaign = campaign(db, 1, &one_of_each()[1..]);
        let run = callsweep_core::run::NewRun { kind: RunKind::Request, ..manual(campaign, BATCH, false) };
        let report = sweep(&engine, &run);
        assert_eq!((report.result_code(), report.counts.barred.total()), (ResultCode::StateForbids, 4));
        let row = ledger(&mut conn, report.run_id);
        assert_eq!((row.result_code.map(ResultCode::as_str), row.counts.barred.total(), row.counts.deleted), (Some("0200028"), 4, 0));
        let nothing = callsweep_core::run::NewRun { criteria: crate::support::criteria(r#"{"called":"1"}"#), ..run };
        assert_eq!(sweep(&engine, &nothing).result_code(), ResultCode::Success);
    }

    fn a_campaign_that_starts_stops_the_run(db) {
        let (engine, mut conn) = (engine(db.store(), 2), db.connect());
        let campaign = campaign(db, 1, &(1..=10).map(number).collect::<Vec<_>>());
        let mut other = db.connect();
        let start = |progress: &callsweep_core::engine::Progress| {
            if progress.chunks == 3 && progress.chunk.is_some() {
                let now = sample::created_at();
                callsweep_core::store::campaigns::set_status(&mut other, campaign, CampaignStatus::Executing, now).unwrap();
            }
        };
        let mut control = Control { progress: Box::new(start), ..Control::unattended() };
        let report = purge(&engine, &manual(campaign, BATCH, true), &mut control).unwrap();
        drop(control);
        assert!(matches!(report.outcome, Outcome::Stopped(_)), "{:?}", report.outcome);
        assert_eq!(report.counts.deleted, 6);
        assert_eq!(tables::ids(&mut conn, campaign).len(), 4);
        let row = ledger(&mut conn, report.run_id);
        assert_eq!((row.state.as_str(), row.counts.deleted, row.counts.archived, row.chunks), ("stopped", 6, 6, 3));
        assert!(row.stop_reason.is_some_and(|reason| reason.contains("execut")));
    }

    fn a_campaign_of_another_vdn_does_not_exist(db) {
        let (engine, mut conn) = (engine(db.store(), 5_000), db.connect());
        let campaign = campaign(db, 1, &one_of_each());
        let mut run = manual(campaign, BATCH, true);
        run.targets[0].vdn_id = VdnId::try_from(2).unwrap();
        let nobody_s = manual(CampaignId::try_from(404).unwrap(), BATCH, true);
        for run in [run, nobody_s] {
            let error = purge(&engine, &run, &mut Control::unattended()).unwrap_err();
            assert!(matches!(error, Error::NoSuchCampaign { .. }), "{error}");
        }
        assert_eq!(tables::ids(&mut conn, campaign).len(), 5);
        assert_eq!(runs::list(&mut conn, &RunFilter::default()).unwrap(), []);
    }
}
