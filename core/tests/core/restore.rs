//! Restoring a run: its numbers return unchanged, or the restore is refused before anything moves.

use callsweep_core::campaign::{CampaignId, CampaignStatus};
use callsweep_core::engine::Error;
use callsweep_core::engine::HistoryReport;
use callsweep_core::engine::restore::{Restore, preview, restore};
use callsweep_core::engine::{Control, Engine, Gate, Outcome, Progress};
use callsweep_core::number::NewNumber;
use callsweep_core::rules::OngoingTask;
use callsweep_core::run::RunState;
use callsweep_core::run::{NewRun, RunKind, Target};
use callsweep_core::stop_reason::StopReason;
use callsweep_core::store::campaigns;
use callsweep_testkit::clock::ManualClock;
use callsweep_testkit::on_each_backend;
use callsweep_testkit::sample::{self, number};
use callsweep_testkit::tables;
use chrono::TimeDelta;

use crate::support::{assert_no_violation, campaign, engine, execute, ledger, manual, stop_after, sweep};

const BATCH: &str = r#"{"customField":"batch"}"#;

/// The restore request that the tests use.
pub(crate) fn restore_of(run_id: i64) -> Restore {
    Restore { run_id, actor: "tester".to_owned(), into_executing: false }
}

fn ten_numbers() -> Vec<NewNumber> {
    (1..=10).map(number).collect()
}

fn run(engine: &Engine, run_id: i64) -> HistoryReport {
    restore(engine, &restore_of(run_id), &mut Control::unattended()).unwrap()
}

fn succeeds(engine: &Engine, run_id: i64) -> HistoryReport {
    let report = run(engine, run_id);
    assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
    report
}

/// Expects that both preview and restore refuse before a run is opened. Returns the message.
fn refused(engine: &Engine, run_id: i64) -> String {
    let error = restore(engine, &restore_of(run_id), &mut Control::unattended()).unwrap_err().to_string();
    assert_eq!(preview(engine, &restore_of(run_id), &|| false).unwrap_err().to_string(), error);
    error
}

on_each_backend! {
    fn numbers_return_unchanged_and_can_be_swept_again(db) {
        let (engine, mut conn) = (engine(db.store(), 300), db.connect());
        let campaign = campaign(db, 1, &sample::numbers(2_000, 3));
        let before = tables::numbers(&mut conn, campaign);
        let members = r#"{"recycleTime":"2020-12-10 00:00:00","recycleType":"1"}"#;
        let swept = sweep(&engine, &manual(campaign, members, true));
        let seen = preview(&engine, &restore_of(swept.run_id), &|| false).unwrap().unwrap();
        assert_eq!((seen.numbers, seen.refused, seen.pruned), (swept.counts.archived, None, 0));
        assert_eq!(tables::history_ids(&mut conn, campaign).len(), usize::try_from(swept.counts.archived).unwrap());
        let report = succeeds(&engine, swept.run_id);
        assert_eq!((report.numbers, report.chunks > 1), (swept.counts.archived, true));
        assert_eq!(tables::numbers(&mut conn, campaign), before);
        assert_eq!(tables::history(&mut conn, campaign), []);
        let (source, own) = (ledger(&mut conn, swept.run_id), ledger(&mut conn, report.run_id));
        assert_eq!((source.restored, source.counts), (swept.counts.archived, swept.counts));
        assert_eq!((own.kind.as_str(), own.state.as_str(), own.actor.as_str()), ("restore", "succeeded", "tester"));
        assert_eq!(own.criteria, serde_json::json!({ "restoredRun": swept.run_id }));
        assert_eq!((own.counts.matched, own.counts.deleted, own.chunks), (report.numbers, 0, report.chunks));
        assert_no_violation(&engine.store);

        let again = sweep(&engine, &manual(campaign, members, true));
        assert_eq!(again.counts, swept.counts);
        assert_no_violation(&engine.store);
        assert!(refused(&engine, swept.run_id).contains("have been restored"));
        succeeds(&engine, again.run_id);
        assert_eq!(tables::numbers(&mut conn, campaign), before);
        assert_no_violation(&engine.store);
    }

    fn an_id_archived_by_several_runs_returns_with_any_chunk_size(db) {
        let mut conn = db.connect();
        let campaign = campaign(db, 1, &[]);
        let archive = || sweep(&engine(db.store(), 500), &manual(campaign, BATCH, true)).run_id;
        for _ in 0..2 {
            sample::insert(&mut conn, campaign, &ten_numbers());
            archive();
        }
        sample::insert(&mut conn, campaign, &ten_numbers());
        for chunk_size in 1..=6 {
            let source = archive();
            let engine = engine(db.store(), chunk_size);
            assert_eq!(preview(&engine, &restore_of(source), &|| false).unwrap().unwrap().numbers, 10);
            assert_eq!(succeeds(&engine, source).numbers, 10, "chunks of {chunk_size}");
            assert_eq!(tables::ids(&mut conn, campaign).len(), 10);
        }
    }

    fn the_numbers_of_other_runs_stay_in_history(db) {
        let (engine, mut conn) = (engine(db.store(), 2), db.connect());
        let (one, two) = (campaign(db, 1, &ten_numbers()), campaign(db, 2, &ten_numbers()));
        let first = sweep(&engine, &manual(one, r#"{"called":"13800000003"}"#, true)).run_id;
        let target = |campaign_id| Target { vdn_id: sample::vdn(), campaign_id };
        let both = NewRun { targets: vec![target(one), target(two)], ..manual(one, BATCH, true) };
        let both = sweep(&engine, &both).run_id;
        assert_eq!(succeeds(&engine, both).numbers, 19);
        assert_eq!(Vec::from_iter(tables::history_ids(&mut conn, one)), [3]);
        assert_eq!(tables::ids(&mut conn, two).len(), 10);
        assert_no_violation(&engine.store);
        assert_eq!(succeeds(&engine, first).numbers, 1);
        assert_no_violation(&engine.store);
    }

    fn an_occupied_key_is_refused_and_named_before_anything_moves(db) {
        let (engine, mut conn) = (engine(db.store(), 4), db.connect());
        let campaign = campaign(db, 1, &(1..=60).map(number).collect::<Vec<_>>());
        let swept = sweep(&engine, &manual(campaign, BATCH, true)).run_id;
        sample::insert(&mut conn, campaign, &(31..=60).map(number).collect::<Vec<_>>());
        let seen = preview(&engine, &restore_of(swept), &|| false).unwrap().unwrap();
        assert_eq!((seen.clashes.count, seen.clashes.first.len()), (30, 20));
        assert_eq!((seen.clashes.first[0], seen.clashes.first[19]), ((1, 31), (1, 50)));
        let report = run(&engine, swept);
        let Outcome::Refused(Error::Clash(clashes)) = report.outcome else { panic!("{:?}", report.outcome) };
        assert_eq!(Some(Error::Clash(clashes).to_string()), seen.refused);
        assert_eq!((report.numbers, tables::ids(&mut conn, campaign).len()), (0, 30));
        assert_eq!(ledger(&mut conn, report.run_id).state, RunState::Refused);
        assert_eq!(ledger(&mut conn, swept).restored, 0);
        // When these rows are removed, the restore works.
        execute(&mut conn, "DELETE FROM call_data WHERE campaign_id = 1 AND id > 30");
        assert_eq!(succeeds(&engine, swept).numbers, 60);
        assert_no_violation(&engine.store);
    }

    fn a_key_occupied_during_the_restore_ends_it_with_exact_counts(db) {
        let (engine, mut conn, mut other) = (engine(db.store(), 4), db.connect(), db.connect());
        let campaign = campaign(db, 1, &ten_numbers());
        let swept = sweep(&engine, &manual(campaign, BATCH, true)).run_id;
        let progress = |now: &Progress| {
            if now.chunks == 1 && now.chunk.is_some() {
                sample::insert(&mut other, campaign, &[number(10)]);
            }
        };
        let mut control = Control { progress: Box::new(progress), ..Control::unattended() };
        let report = restore(&engine, &restore_of(swept), &mut control).unwrap();
        drop(control);
        let Outcome::Failed(Error::Clash(clashes)) = report.outcome else { panic!("{:?}", report.outcome) };
        assert_eq!((clashes.count, clashes.first), (1, vec![(1, 10)]));
        assert_eq!((report.numbers, ledger(&mut conn, swept).restored), (8, 8));
        assert_eq!(Vec::from_iter(tables::history_ids(&mut conn, campaign)), [9, 10]);
        execute(&mut conn, "DELETE FROM call_data WHERE campaign_id = 1 AND id = 10");
        assert_eq!(succeeds(&engine, swept).numbers, 2);
    }

    fn a_restore_stops_between_chunks_and_can_be_repeated(db) {
        let (engine, mut conn) = (engine(db.store(), 3), db.connect());
        let campaign = campaign(db, 1, &ten_numbers());
        let swept = sweep(&engine, &manual(campaign, BATCH, true)).run_id;
        let gate = |now: &Progress| if now.chunks == 2 { Gate::Stop(StopReason::Person) } else { Gate::Go };
        let mut control = Control { gate: Box::new(gate), ..Control::unattended() };
        let report = restore(&engine, &restore_of(swept), &mut control).unwrap();
        assert!(matches!(report.outcome, Outcome::Stopped(StopReason::Person)), "{:?}", report.outcome);
        assert_eq!((report.numbers, tables::ids(&mut conn, campaign).len()), (6, 6));
        let own = ledger(&mut conn, report.run_id);
        assert_eq!((own.state.as_str(), own.counts.matched, ledger(&mut conn, swept).restored), ("stopped", 6, 6));
        assert_no_violation(&engine.store);
        assert_eq!(succeeds(&engine, swept).numbers, 4);
        assert_no_violation(&engine.store);
    }

    fn a_run_that_cannot_be_restored_is_refused_with_the_reason(db) {
        let (engine, mut conn) = (engine(db.store(), 5), db.connect());
        let campaign = campaign(db, 1, &ten_numbers());
        assert!(refused(&engine, 404).contains("not in the ledger"));
        let deleted = sweep(&engine, &manual(campaign, r#"{"called":"13800000001"}"#, false)).run_id;
        assert!(refused(&engine, deleted).contains("deleted without archive"));
        let nothing = sweep(&engine, &manual(campaign, r#"{"called":"1"}"#, true)).run_id;
        assert!(refused(&engine, nothing).contains("removed nothing"));
        let swept = sweep(&engine, &manual(campaign, BATCH, true)).run_id;
        execute(&mut conn, &format!("UPDATE purge_run SET pruned = 9 WHERE id = {swept}"));
        assert!(refused(&engine, swept).contains("9 of its 9 archived number(s) were pruned"));
        execute(&mut conn, &format!("UPDATE purge_run SET pruned = 0, state = 'running' WHERE id = {swept}"));
        assert!(refused(&engine, swept).contains("it is running"));
        execute(&mut conn, &format!("UPDATE purge_run SET state = 'stopped' WHERE id = {swept}"));
        let back = succeeds(&engine, swept).run_id;
        assert!(refused(&engine, back).contains("it is a restore"));
    }

    fn an_executing_campaign_takes_numbers_back_only_if_allowed(db) {
        let (mut engine, mut conn) = (engine(db.store(), 5), db.connect());
        let campaign = campaign(db, 1, &ten_numbers());
        let mut swept = sweep(&engine, &manual(campaign, BATCH, true)).run_id;
        let now = engine.store.clock().timestamp();
        campaigns::set_status(&mut conn, campaign, CampaignStatus::Executing, now).unwrap();
        let report = run(&engine, swept);
        assert!(matches!(report.outcome, Outcome::Refused(Error::IntoExecuting(_))), "{:?}", report.outcome);
        assert!(preview(&engine, &restore_of(swept), &|| false).unwrap().unwrap().refused.is_some());
        let anyway = Restore { into_executing: true, ..restore_of(swept) };
        let report = restore(&engine, &anyway, &mut Control::unattended()).unwrap();
        assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
        // With ongoing_task = "number", an executing campaign is no reason to refuse.
        engine.rules = OngoingTask::Number;
        swept = sweep(&engine, &manual(campaign, BATCH, true)).run_id;
        assert_eq!(succeeds(&engine, swept).numbers, 10);
    }

    fn a_campaign_that_starts_or_disappears_ends_the_restore(db) {
        let (engine, mut conn, mut other) = (engine(db.store(), 4), db.connect(), db.connect());
        let campaign = campaign(db, 1, &ten_numbers());
        let swept = sweep(&engine, &manual(campaign, BATCH, true)).run_id;
        let now = engine.store.clock().timestamp();
        let progress = |now_at: &Progress| {
            if now_at.chunks == 1 && now_at.chunk.is_some() {
                campaigns::set_status(&mut other, campaign, CampaignStatus::Executing, now).unwrap();
            }
        };
        let mut control = Control { progress: Box::new(progress), ..Control::unattended() };
        let report = restore(&engine, &restore_of(swept), &mut control).unwrap();
        drop(control);
        assert!(matches!(report.outcome, Outcome::Stopped(StopReason::CampaignExecuting)), "{:?}", report.outcome);
        assert_eq!(report.numbers, 4);
        execute(&mut conn, "DELETE FROM campaign WHERE id = 1");
        let report = run(&engine, swept);
        assert!(matches!(report.outcome, Outcome::Refused(Error::NoSuchCampaign { .. })), "{:?}", report.outcome);
    }

    fn no_sweep_works_on_the_campaign_during_a_restore(db) {
        let clock = ManualClock::at("2024-05-01T00:00:00Z");
        let (engine, mut conn) = (engine(db.store_at(clock.clock()), 4), db.connect());
        let campaign = campaign(db, 1, &ten_numbers());
        let swept = sweep(&engine, &manual(campaign, BATCH, true)).run_id;
        let mut seen = None;
        let progress = |now: &Progress| {
            if now.chunks == 1 && now.chunk.is_some() {
                let beside = callsweep_core::engine::purge(&engine, &manual(campaign, BATCH, true), &mut Control::unattended());
                seen = Some(beside.unwrap().outcome);
            }
        };
        let mut control = Control { progress: Box::new(progress), ..Control::unattended() };
        let report = restore(&engine, &restore_of(swept), &mut control).unwrap();
        drop(control);
        assert!(matches!(seen, Some(Outcome::Refused(Error::Locked { run_id, .. })) if run_id == report.run_id), "{seen:?}");
        assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
        // Vice versa: a sweep holds the lease of the campaign.
        let held = stop_after(&engine, &manual(campaign, BATCH, true), 1).run_id;
        execute(&mut conn, &format!("UPDATE purge_run SET state = 'running' WHERE id = {held}"));
        execute(&mut conn, &format!("INSERT INTO campaign_lease (campaign_id, run_id) VALUES (1, {held})"));
        let first = sweep_of_another_campaign(&engine, campaign, db);
        let report = run(&engine, first);
        assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
        clock.advance(TimeDelta::minutes(1));
        // Now the process of that sweep counts as dead.
        assert_eq!(succeeds(&engine, held).numbers, 4);
    }
}

/// A run on another campaign, on which nobody has a lease.
fn sweep_of_another_campaign(engine: &Engine, other: CampaignId, db: &callsweep_testkit::TestDatabase) -> i64 {
    let campaign = campaign(db, other.get() + 1, &ten_numbers());
    let run = sweep(engine, &NewRun { kind: RunKind::Request, ..manual(campaign, BATCH, true) });
    run.run_id
}
