//! Everybody at once: diallers, integrators, two sweeps, a restore, an import and a switch that lets campaigns execute, on
//! two campaigns. Each writes down what it did; in the end the tables must be what they all wrote down, number by number.
//!
//! `ATTACK_RACE_SECONDS=180` gives the seconds at each isolation level.

mod dialler;
mod integrator;
mod people;
mod scene;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use callsweep_core::run::Run;
use callsweep_core::store::Backend;
use callsweep_testkit::TestDatabase;
use callsweep_testkit::attack::{Attack, times};
use callsweep_testkit::on_each_backend;
use callsweep_testkit::tables::{self, NumberRow};

use scene::{Diary, Level, Scene, Told};

/// A race in which one of these did not run proves nothing.
const MUST_HAPPEN: [&str; 6] =
    ["numbers loaded", "numbers queued again", "requests done together", "sweeps", "restores", "campaigns executed"];

/// At each isolation level.
fn duration() -> Duration {
    Duration::from_secs(times("ATTACK_RACE_SECONDS", 5))
}

/// The levels that other programs work at. SQLite has one.
fn levels(backend: Backend) -> &'static [Level] {
    if backend == Backend::Sqlite { &[Level::Serializable] } else { &[Level::ReadCommitted, Level::RepeatableRead] }
}

on_each_backend! {
    fn what_each_one_did_explains_every_number_and_every_count(db) {
        for level in levels(db.backend()) {
            race(&TestDatabase::new(db.backend()), *level);
        }
    }
}

fn race(db: &TestDatabase, level: Level) {
    let scene = Scene::new(db, level);
    let mut attack = Attack::new(&format!("races at {level}"), db.backend());
    let own = if level == Level::Serializable { level } else { Level::ReadCommitted };
    attack
        .holds(scene.product_level() == own.to_string(), || format!("the product works at {}", scene.product_level()));
    let mut diary = Diary::new(db.backend());
    people::fill(&scene, &mut diary);
    let mut diaries: Vec<Diary> = thread::scope(|threads| {
        let actors: [fn(&Scene<'_>, &mut Diary); 10] = [
            dialler::dial,
            dialler::dial,
            integrator::delete,
            integrator::delete,
            people::sweep,
            people::sweep,
            people::restore,
            people::import,
            people::switch,
            people::verify,
        ];
        let begin = |actor: fn(&Scene<'_>, &mut Diary)| {
            let scene = &scene;
            threads.spawn(move || {
                let mut diary = Diary::new(db.backend());
                actor(scene, &mut diary);
                diary
            })
        };
        let running: Vec<_> = actors.into_iter().map(begin).collect();
        thread::sleep(duration());
        scene.end();
        running.into_iter().map(|actor| actor.join().unwrap()).collect()
    });
    diaries.push(diary);
    judge(db, &scene, diaries, &mut attack);
    for what in MUST_HAPPEN {
        let happened = attack.faults_of(what) > 0;
        attack.holds(happened, || format!("there were no {what}"));
    }
    attack.verify(&scene.store);
    attack.end();
}

/// Holds the tables against the diaries.
fn judge(db: &TestDatabase, scene: &Scene<'_>, diaries: Vec<Diary>, attack: &mut Attack) {
    let mut conn = db.connect();
    let (mut imported, mut told) = (BTreeMap::new(), BTreeMap::new());
    let mut dialled = Vec::new();
    for diary in diaries {
        attack.absorb(diary.attack);
        imported.extend(diary.imported.into_iter().map(|number| (number.id, number)));
        told.extend(diary.told.into_iter().map(|told| (told.run_id, told)));
        dialled.extend(diary.dialled);
    }
    // Each step of the dialler is one more in the priority. Whoever holds a number knows its status; the others' are 0.
    for (id, steps, status) in dialled {
        let number: &mut NumberRow = imported.get_mut(&id).expect("the dialler finds what was imported");
        number.priority += steps;
        number.status = number.status.max(status);
    }
    let mut ledger = BTreeMap::new();
    for campaign in scene.campaigns {
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
                format!("number {} is in history by run {}, which asked for {asked:?}", row.number.id, row.run_id)
            });
        }
        let archived: BTreeSet<i64> = history.iter().map(|row| row.number.id).collect();
        for number in expected.iter().filter(|number| !left.contains(&number.id) && !archived.contains(&number.id)) {
            attack.holds(number.status == 0, || format!("number {} is gone, barred as {}", number.id, number.status));
            attack.holds(deleting.iter().any(|run| number.matches(&run.criteria)), || {
                format!("number {} is gone, and nobody asked for it", number.id)
            });
        }
    }
    for run in ledger.values() {
        let same =
            told.get(&run.id).is_some_and(|told| (told.counts, told.state.as_str()) == (run.counts, &run.state[..]));
        attack.holds(same, || format!("the ledger has {run:?}, and {:?} was told", told.get(&run.id)));
    }
    for Told { run_id, counts, .. } in told.values() {
        let is_there = ledger.contains_key(run_id);
        attack.holds(is_there || counts.matched == 0, || format!("run {run_id} was told of and is not in the ledger"));
    }
}
