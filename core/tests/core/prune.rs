//! Pruning deletes only history that is old enough, and the ledger records how much of each run.

use callsweep_core::age::cutoff;
use callsweep_core::bounds::Bounds;
use callsweep_core::engine::Error;
use callsweep_core::engine::prune::{Prune, PruneReport, preview, prune};
use callsweep_core::engine::restore::restore;
use callsweep_core::engine::{Control, Engine, Gate, Outcome, Progress};
use callsweep_core::number::NewNumber;
use callsweep_core::stop_reason::StopReason;
use callsweep_core::store::runs;
use callsweep_testkit::clock::ManualClock;
use callsweep_testkit::on_each_backend;
use callsweep_testkit::sample::number;
use callsweep_testkit::tables;
use chrono::TimeDelta;

use crate::restore::restore_of;
use crate::support::{assert_no_violation, campaign, engine, execute, ledger, manual, sweep};

fn older_than(engine: &Engine, age: &str) -> Prune {
    let archived_before = cutoff(age, engine.store.clock().timestamp()).unwrap();
    Prune { archived_before, bounds: Bounds::default(), actor: "tester".to_owned() }
}

fn run(engine: &Engine, wish: &Prune) -> PruneReport {
    let report = prune(engine, wish, &mut Control::unattended()).unwrap();
    assert!(matches!(report.history.outcome, Outcome::Succeeded), "{:?}", report.history.outcome);
    report
}

/// Ids 1 to 10 in campaigns 1 and 2. An old run archived the first 6 of campaign 1, newer runs the rest.
struct History {
    clock: ManualClock,
    engine: Engine,
    old: i64,
    new: [i64; 2],
}

fn history(db: &callsweep_testkit::TestDatabase) -> History {
    let clock = ManualClock::at("2020-01-01T00:00:00Z");
    let engine = engine(db.store_at(clock.clock()), 4);
    let numbers = |batch: fn(i64) -> &'static str| -> Vec<NewNumber> {
        let custom = |id| callsweep_core::number::CustomField::parse(batch(id)).unwrap();
        (1..=10).map(|id| NewNumber { custom_field: Some(custom(id)), ..number(id) }).collect()
    };
    let one = campaign(db, 1, &numbers(|id| if id <= 6 { "old" } else { "new" }));
    let two = campaign(db, 2, &numbers(|_| "new"));
    let old = sweep(&engine, &manual(one, r#"{"customField":"old"}"#, true)).run_id;
    clock.advance(TimeDelta::days(1_000));
    let new = [one, two].map(|campaign| sweep(&engine, &manual(campaign, r#"{"customField":"new"}"#, true)).run_id);
    History { clock, engine, old, new }
}

on_each_backend! {
    fn only_old_history_is_pruned_and_counted_for_each_run(db) {
        let History { clock, engine, old, new } = history(db);
        let mut conn = db.connect();
        let one = callsweep_core::campaign::CampaignId::try_from(1).unwrap();
        let wish = older_than(&engine, "2y");
        let seen = preview(&engine, &wish, &|| false).unwrap().unwrap();
        assert_eq!((seen.numbers, seen.ledger_rows, seen.campaigns.len(), seen.refused), (6, 1, 1, None));
        assert_eq!(tables::history_ids(&mut conn, one).len(), 10);
        let report = run(&engine, &wish);
        assert_eq!((report.history.numbers, report.history.chunks, report.ledger_rows), (6, 2, 1));
        assert_eq!(Vec::from_iter(tables::history_ids(&mut conn, one)), [7, 8, 9, 10]);
        assert_eq!(runs::find(&mut conn, old).unwrap(), None);
        assert_eq!(runs::campaigns(&mut conn, old).unwrap(), []);
        let own = ledger(&mut conn, report.history.run_id);
        assert_eq!((own.kind.as_str(), own.state.as_str(), own.counts.deleted), ("prune", "succeeded", 6));
        assert_eq!(own.criteria, serde_json::json!({ "archivedBefore": wish.archived_before }));
        assert_no_violation(&engine.store);

        // Boundary: a row archived exactly at the limit stays.
        let exactly = Prune { archived_before: ledger(&mut conn, new[0]).finished_at.unwrap(), ..wish.clone() };
        assert_eq!(run(&engine, &exactly).history.numbers, 0);
        clock.advance(TimeDelta::days(1_000));
        let report = run(&engine, &older_than(&engine, "90d"));
        assert_eq!((report.history.numbers, report.ledger_rows), (14, 4));
        assert_eq!(run(&engine, &older_than(&engine, "90d")).history.numbers, 0);
        assert_no_violation(&engine.store);
    }

    fn a_bound_is_checked_before_the_first_row(db) {
        let History { engine, old, .. } = history(db);
        let mut conn = db.connect();
        let at_most = |rows| Prune { bounds: Bounds { max_rows: Some(rows), ..Bounds::default() }, ..older_than(&engine, "1y") };
        assert!(preview(&engine, &at_most(5), &|| false).unwrap().unwrap().refused.is_some());
        let report = prune(&engine, &at_most(5), &mut Control::unattended()).unwrap();
        assert!(matches!(report.history.outcome, Outcome::Refused(Error::Bound(_))), "{:?}", report.history.outcome);
        let own = ledger(&mut conn, report.history.run_id);
        assert_eq!((own.state.as_str(), own.stop_reason.unwrap().contains("1 more than max_rows")), ("refused", true));
        assert_eq!(ledger(&mut conn, old).pruned, 0);
        assert_eq!(run(&engine, &at_most(6)).history.numbers, 6);
    }

    fn a_prune_stops_between_chunks_and_the_rest_can_be_restored(db) {
        let History { engine, old, .. } = history(db);
        let mut conn = db.connect();
        let gate = |now: &Progress| if now.chunks == 1 { Gate::Stop(StopReason::Person) } else { Gate::Go };
        let mut control = Control { gate: Box::new(gate), ..Control::unattended() };
        let report = prune(&engine, &older_than(&engine, "1y"), &mut control).unwrap();
        assert!(matches!(report.history.outcome, Outcome::Stopped(StopReason::Person)), "{:?}", report.history.outcome);
        let pruned = report.history.numbers;
        assert_eq!((ledger(&mut conn, old).pruned, report.ledger_rows), (pruned, 0));
        assert!((1..6).contains(&pruned), "{pruned}");
        assert_no_violation(&engine.store);
        let back = restore(&engine, &restore_of(old), &mut Control::unattended()).unwrap();
        assert_eq!((back.numbers, ledger(&mut conn, old).restored), (6 - pruned, 6 - pruned));
        assert_no_violation(&engine.store);
    }

    fn a_run_in_progress_or_with_history_left_stays_in_the_ledger(db) {
        let History { engine, old, .. } = history(db);
        let mut conn = db.connect();
        execute(&mut conn, &format!("UPDATE purge_run SET archived = 7 WHERE id = {old}"));
        assert_eq!(run(&engine, &older_than(&engine, "1y")).ledger_rows, 0);
        execute(&mut conn, &format!("UPDATE purge_run SET archived = 6, state = 'running' WHERE id = {old}"));
        assert_eq!(run(&engine, &older_than(&engine, "1y")).ledger_rows, 0);
        assert_eq!(ledger(&mut conn, old).pruned, 6);
    }
}
