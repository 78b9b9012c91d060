//! Races: diallers, integrators, two sweeps, a restore, an import and a switch that starts campaigns work at the same
//! time on two campaigns. Each records what it did; at the end the tables must equal the sum of these records, number
//! by number.
//!
//! `ATTACK_RACE_SECONDS=180` sets the duration at each isolation level.

mod background;
mod context;
mod dialler;
mod integrator;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use callsweep_core::run::Run;
use callsweep_core::store::Backend;
use callsweep_testkit::TestDatabase;
use callsweep_testkit::attack::{Attack, times};
use callsweep_testkit::on_each_backend;
use callsweep_testkit::tables::{self, NumberRow};

use context::{ActorLog, Level, RaceContext, ReportedRun};

/// A race in which one of these did not happen proves nothing.
const MUST_HAPPEN: [&str; 6] =
    ["numbers loaded", "numbers queued again", "requests in a group", "sweeps", "restores", "campaigns executed"];

/// Duration of the race at each isolation level.
fn duration() -> Duration {
    Duration::from_secs(times("ATTACK_RACE_SECONDS", 5))
}

/// The isolation levels of other programs. SQLite has one.
fn levels(backend: Backend) -> &'static [Level] {
    if backend == Backend::Sqlite { &[Level::Serializable] } else { &[Level::ReadCommitted, Level::RepeatableRead] }
}

on_each_backend! {
    fn recorded_actions_explain_every_number_and_count(db) {
        for level in levels(db.backend()) {
            race(&TestDatabase::new(db.backend()), *level);
        }
    }
}

fn race(db: &TestDatabase, level: Level) {
    let context = RaceContext::new(db, level);
    let mut attack = Attack::new(&format!("races at {level}"), db.backend());
    let own = if level == Level::Serializable { level } else { Level::ReadCommitted };
    attack.holds(context.product_level() == own.to_string(), || {
        format!("the product works at {}", context.product_level())
    });
    let mut log = ActorLog::new(db.backend());
    background::fill(&context, &mut log);
    let mut logs: Vec<ActorLog> = thread::scope(|threads| {
        let actors: [fn(&RaceContext<'_>, &mut ActorLog); 10] = [
            dialler::dial,
            dialler::dial,
            integrator::delete,
            integrator::delete,
            background::sweep,
            background::sweep,
            background::restore,
            background::import,
            background::switch,
            background::verify,
        ];
        let begin = |actor: fn(&RaceContext<'_>, &mut ActorLog)| {
            let context = &context;
            threads.spawn(move || {
                let mut log = ActorLog::new(db.backend());
                actor(context, &mut log);
                log
            })
        };
        let running: Vec<_> = actors.into_iter().map(begin).collect();
        thread::sleep(duration());
        context.end();
        running.into_iter().map(|actor| actor.join().unwrap()).collect()
    });
    logs.push(log);
    judge(db, &context, logs, &mut attack);
    for what in MUST_HAPPEN {
        let happened = attack.faults_of(what) > 0;
        attack.holds(happened, || format!("there were no {what}"));
    }
    attack.verify(&context.store);
    attack.end();
}

/// Compares the tables with the records of the actors.
fn judge(db: &TestDatabase, context: &RaceContext<'_>, logs: Vec<ActorLog>, attack: &mut Attack) {
    let mut conn = db.connect();
    let (mut imported, mut reported) = (BTreeMap::new(), BTreeMap::new());
    let mut dialled = Vec::new();
    for log in logs {
        attack.absorb(log.attack);
        imported.extend(log.imported.into_iter().map(|number| (number.id, number)));
        reported.extend(log.reported.into_iter().map(|reported| (reported.run_id, reported)));
        dialled.extend(log.dialled);
    }
    // Each step of the dialler adds 1 to the priority. A number that a dialler holds has the status it recorded; all
    // others have status 0.
    for (id, steps, status) in dialled {
        let number: &mut NumberRow = imported.get_mut(&id).expect("the dialler finds what was imported");
        number.priority += steps;
        number.status = number.status.max(status);
    }
    let mut ledger = BTreeMap::new();
    for campaign in context.campaigns {
        let expected: Vec<NumberRow> =
            imported.values().filter(|number| number.campaign_id == campaign.get()).cloned().collect();
        let runs = attack.promises(&mut conn, campaign, &expected);
        let (left, history) = (tables::ids(&mut conn, campaign), tables::history(&mut conn, campaign));
        let deleting: Vec<Run> =
            runs.iter().filter(|run| !run.archive_history && run.counts.deleted > 0).cloned().collect();
        ledger.extend(runs.into_iter().map(|run| (run.id, run)));
        for row in &history {
            let asked = ledger.get(&row.run_id).map(|run| &run.criteria);
            attack.holds(asked.is_some_and(|criteria| row.number.matches(criteria)), || {
                format!("number {} is in history by run {}, whose filter is {asked:?}", row.number.id, row.run_id)
            });
        }
        let archived: BTreeSet<i64> = history.iter().map(|row| row.number.id).collect();
        for number in expected.iter().filter(|number| !left.contains(&number.id) && !archived.contains(&number.id)) {
            attack.holds(number.status == 0, || {
                format!("number {} was removed, although barred with status {}", number.id, number.status)
            });
            attack.holds(deleting.iter().any(|run| number.matches(&run.criteria)), || {
                format!("number {} was removed, and no run asked for it", number.id)
            });
        }
    }
    for run in ledger.values() {
        let same =
            reported.get(&run.id).is_some_and(|reported| (reported.counts, reported.state) == (run.counts, run.state));
        attack.holds(same, || format!("the ledger has {run:?}, and {:?} was reported", reported.get(&run.id)));
    }
    for ReportedRun { run_id, counts, .. } in reported.values() {
        let is_there = ledger.contains_key(run_id);
        attack.holds(is_there || counts.matched == 0, || format!("run {run_id} was reported and is not in the ledger"));
    }
}
