//! SIGKILL to a real sweep at random instants; the next one completes it.
//!
//! `ATTACK_KILLS=500` gives the kills.

use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use callsweep_core::campaign::{CampaignId, CampaignStatus};
use callsweep_core::run::RunState;
use callsweep_core::store::Backend;
use callsweep_testkit::attack::{Attack, let_a_minute_pass, times};
use callsweep_testkit::on_each_backend;
use callsweep_testkit::tables::{self, NumberRow};
use callsweep_testkit::{TestDatabase, sample};

use crate::program::{Ran, Worker};

/// Of one campaign: some fifty chunks of five.
const NUMBERS: i64 = 400;

fn kills() -> u64 {
    times("ATTACK_KILLS", 8)
}

/// Every number that may go and has a time is due.
fn sweep(campaign: CampaignId) -> String {
    format!(
        "sweep --vdn 1 --campaign {campaign} --recycle-type 1 --recycle-time '2020-12-31 00:00:00' --archive-history --execute"
    )
}

/// Small chunks, two at a time where the database takes that, and nobody who is asked.
fn pace(backend: Backend) -> String {
    let lanes = if backend == Backend::Postgres { 2 } else { 1 };
    format!("--chunk-size 5 --lanes {lanes} --quiet")
}

fn campaign(db: &TestDatabase, id: i64) -> (CampaignId, Vec<NumberRow>) {
    let mut conn = db.connect();
    let campaign = sample::campaign(&mut conn, id, CampaignStatus::Suspended);
    sample::insert(&mut conn, campaign, &sample::numbers(NUMBERS, 9));
    (campaign, tables::numbers(&mut conn, campaign))
}

fn due(before: &[NumberRow]) -> i64 {
    let is_due = |number: &&NumberRow| number.status == 0 && number.recycle_time.is_some();
    i64::try_from(before.iter().filter(is_due).count()).unwrap()
}

/// How long a sweep takes that nobody kills.
fn whole(db: &TestDatabase, worker: &Worker) -> Duration {
    let (campaign, _) = campaign(db, 1);
    let begun = Instant::now();
    let ran = worker.run(&format!("{} {}", sweep(campaign), pace(db.backend())));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    begun.elapsed()
}

/// Kills a child at some instant `within` a time, and learns how long that should be: others work on this machine too.
/// `false`: it had come to its end before.
fn kill(mut child: Child, within: &mut Duration) -> bool {
    let waited = within.mul_f64(rand::random());
    thread::sleep(waited);
    if child.try_wait().unwrap().is_some() {
        let ran = Ran::read(child);
        assert!(matches!(ran.code, Some(0 | 3 | 5)), "{ran:?}");
        *within = waited;
        return false;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    *within = within.mul_f64(1.1);
    true
}

on_each_backend! {
    fn a_killed_sweep_keeps_every_promise_and_the_next_completes(db) {
        let (mut conn, mut attack) = (db.connect(), Attack::new("kill the worker", db.backend()));
        let worker = Worker::on(db);
        let (mut within, pace) = (whole(db, &worker), pace(db.backend()));
        for id in 2.. {
            let (campaign, before) = campaign(db, id);
            let mut next = sweep(campaign);
            while attack.faults() < kills() {
                let was_killed = kill(worker.start(&format!("{next} {pace}")), &mut within);
                let runs = attack.promises(&mut conn, campaign, &before);
                let newest = runs.first();
                if !was_killed || newest.is_some_and(|run| run.state == RunState::Succeeded) {
                    break;
                }
                attack.fault("SIGKILL to the sweep");
                let_a_minute_pass(&mut conn, &runs);
                // The next one goes on with this run, or begins one.
                let resumed = newest.filter(|_| rand::random());
                next = resumed.map_or_else(|| sweep(campaign), |run| format!("sweep --resume {}", run.id));
            }
            if attack.promises(&mut conn, campaign, &before).first().is_none_or(|run| run.state != RunState::Succeeded) {
                let ran = worker.run(&format!("{next} {pace}"));
                attack.holds(matches!(ran.code, Some(0 | 3 | 5)), || format!("{next}: {ran:?}"));
            }
            let runs = attack.promises(&mut conn, campaign, &before);
            let archived: i64 = runs.iter().map(|run| run.counts.archived).sum();
            attack.holds(archived == due(&before), || format!("{archived} were archived, {} were due", due(&before)));
            if attack.faults() >= kills() {
                break;
            }
        }
        attack.verify(&db.store());
        attack.end();
    }
}
