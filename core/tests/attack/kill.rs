//! SIGKILL to a process that sweeps or restores, at random instants and at each step of a chunk: nothing is lost.
//!
//! `ATTACK_KILLS=500` sets the number of kills in each test.

use std::env;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use callsweep_core::campaign::CampaignId;
use callsweep_core::clock::Clock;
use callsweep_core::engine::restore::{Restore, restore};
use callsweep_core::engine::{Control, Outcome, Progress};
use callsweep_core::failpoint;
use callsweep_core::run::Run;
use callsweep_core::run::RunKind;
use callsweep_core::run::RunState;
use callsweep_core::settings::DatabaseSettings;
use callsweep_core::store::{AnyConnection, Backend, Store, runs};
use callsweep_testkit::attack::{Attack, times};
use callsweep_testkit::on_each_backend;
use callsweep_testkit::sample::numbers;
use callsweep_testkit::tables::{self, NumberRow};

use chrono::TimeDelta;

use crate::support::{campaign, engine, ledger, ledger_of, manual, resume_with_progress, sweep, watch};

/// Task of the child process, separated by spaces: database, campaign, minutes by which its clock is ahead, action
/// (`-`: start a sweep; an id: resume that run; `restore:` and an id: restore that run), the fail point at which it
/// stops and the number of the passing, as in `copied@3`, or `-`; and the number of lanes.
const TASK: &str = "CALLSWEEP_TEST_KILL";
const MEMBERS: &str = r#"{"recycleTime":"2020-12-31 00:00:00","recycleType":"1"}"#;
/// Numbers of one campaign: with chunks of five, enough for some thirty kills.
const NUMBERS: i64 = 1_000;

fn kills() -> u64 {
    times("ATTACK_KILLS", 14)
}

/// A clock that is ahead, so that a run whose process was just killed counts as dead.
fn clock_ahead(minutes: u64) -> Clock {
    Clock::from_fn(move || Clock::system().now() + TimeDelta::minutes(i64::try_from(minutes).unwrap()))
}

fn restore_of(run_id: i64) -> Restore {
    Restore { run_id, actor: "tester".to_owned(), into_executing: false }
}

fn tell(line: &str) {
    println!("{line}");
}

/// Stops at the given passing of a fail point, reports that, and waits to be killed.
fn stop_at(point: &str, passing: u64) {
    let (point, passed) = (point.to_owned(), AtomicU64::new(0));
    failpoint::watch(move |name| {
        if name == point && passed.fetch_add(1, Ordering::Relaxed) + 1 == passing {
            tell("at the fail point");
            loop {
                thread::park();
            }
        }
    });
}

/// The process that is killed: this test binary, started again to run only this test. Without [`TASK`] it does nothing.
#[test]
fn child() {
    let Ok(task) = env::var(TASK) else { return };
    let [url, campaign, minutes, what, point, lanes] = task.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{task}")
    };
    if let Some((point, passing)) = point.split_once('@') {
        stop_at(point, passing.parse().unwrap());
    }
    let settings = DatabaseSettings { url: url.to_owned().into(), ..DatabaseSettings::default() };
    let mut engine = engine(Store::open(&settings, clock_ahead(minutes.parse().unwrap())).unwrap(), 5);
    engine.pace.lanes = lanes.parse().unwrap();
    let tell = |now: &Progress| tell(&format!("progress {} {}", now.run_id, now.chunks));
    if let Some(run_id) = what.strip_prefix("restore:") {
        let mut control = Control { progress: Box::new(tell), ..Control::unattended() };
        restore(&engine, &restore_of(run_id.parse().unwrap()), &mut control).unwrap();
        return;
    }
    let campaign = CampaignId::try_from(campaign.parse::<i64>().unwrap()).unwrap();
    match what.parse() {
        Ok(run_id) => resume_with_progress(&engine, run_id, tell),
        Err(_) => watch(&engine, &manual(campaign, MEMBERS, true), tell),
    };
}

/// What the test knows about a child that has ended.
struct Ended {
    /// Its last progress line: the run and its number of chunks.
    last_progress: Option<(i64, i64)>,
    /// It ended before it could be killed.
    by_itself: bool,
}

/// Starts the child and kills it at a fail point, or at a random instant after a random number of chunks.
fn kill(task: &str, point: &str) -> Ended {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["kill::child", "--exact", "--nocapture"])
        .env(TASK, format!("{task} {point} {}", rand::random_range(1..=3)))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut last_progress = None;
    let mut chunks_left = if point == "-" { rand::random_range(1..=6) } else { u32::MAX };
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut by_itself = true;
    let mut read_progress = |line: &str| {
        let Some((run_id, chunk)) = line.split_once("progress ").and_then(|(_, rest)| rest.split_once(' ')) else {
            return;
        };
        last_progress = Some((run_id.parse().unwrap(), chunk.parse().unwrap()));
    };
    for line in lines.by_ref() {
        read_progress(&line);
        chunks_left -= u32::from(line.contains("progress "));
        if line.contains("at the fail point") || chunks_left == 0 {
            by_itself = false;
            break;
        }
    }
    if point == "-" {
        // A chunk takes some milliseconds: the kill can fall on any instant of it.
        thread::sleep(Duration::from_micros(rand::random_range(0..10_000)));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    lines.for_each(|line| read_progress(&line));
    Ended { last_progress, by_itself }
}

/// In turn: a random instant, and each fail point of this backend.
fn points(backend: Backend) -> impl Iterator<Item = &'static str> {
    let has = move |point: &&str| backend != Backend::Postgres || *point != "copied";
    ["-"].into_iter().chain(failpoint::POINTS).filter(has).cycle()
}

fn describe(point: &str) -> String {
    if point == "-" { "SIGKILL at any instant".to_owned() } else { format!("SIGKILL at {point}") }
}

fn passing(point: &str) -> String {
    if point == "-" { "-".to_owned() } else { format!("{point}@{}", rand::random_range(1..=6)) }
}

fn is_due(number: &NumberRow) -> bool {
    number.status == 0 && number.recycle_time.is_some()
}

fn due(before: &[NumberRow]) -> i64 {
    i64::try_from(before.iter().filter(|number| is_due(number)).count()).unwrap()
}

/// A resumed run starts at its cursor, so no due number may be left before the cursor.
fn nothing_is_skipped(attack: &mut Attack, conn: &mut AnyConnection, campaign: CampaignId, run: &Run) {
    let cursors = runs::campaigns(conn, run.id).unwrap().into_iter().filter_map(|row| row.cursor);
    for cursor in cursors.chain(run.cursor.clone()) {
        let mut behind = tables::numbers(conn, campaign);
        behind.retain(|number| is_due(number) && number.is_behind(&cursor));
        attack.holds(behind.is_empty(), || format!("run {} would skip {} numbers", run.id, behind.len()));
    }
}

fn all_is_back(source: &Run) -> bool {
    source.restored == source.counts.archived
}

on_each_backend! {
    fn a_killed_sweep_loses_nothing_and_the_next_completes(db) {
        let (mut conn, mut attack) = (db.connect(), Attack::new("kill a sweep", db.backend()));
        let (mut points, mut minutes) = (points(db.backend()), 0);
        for id in 1.. {
            let campaign = campaign(db, id, &numbers(NUMBERS, 9));
            let before = tables::numbers(&mut conn, campaign);
            let mut resumed = String::from("-");
            while attack.faults() < kills() {
                minutes += 1;
                let point = points.next().unwrap();
                let task = format!("{} {campaign} {minutes} {resumed}", db.url());
                let ended = kill(&task, &passing(point));
                let runs = attack.promises(&mut conn, campaign, &before);
                if let Some((run_id, chunk)) = ended.last_progress {
                    let run = runs.iter().find(|run| run.id == run_id).expect("the run is in the ledger");
                    attack.holds(run.chunks >= chunk, || "a chunk was reported and is not in the ledger".to_owned());
                }
                let newest = &runs[..].first();
                if let Some(run) = newest {
                    nothing_is_skipped(&mut attack, &mut conn, campaign, run);
                }
                if ended.by_itself || newest.is_some_and(|run| run.state == RunState::Succeeded) {
                    break;
                }
                attack.fault(&describe(point));
                // The next child resumes this run, or starts a new one.
                resumed = newest.filter(|_| rand::random()).map_or("-".to_owned(), |run| run.id.to_string());
            }
            let last = attack.promises(&mut conn, campaign, &before).swap_remove(0);
            let engine = engine(db.store_at(clock_ahead(minutes + 1)), 500);
            if last.state != RunState::Succeeded {
                let report = resume_with_progress(&engine, last.id, |_| ());
                assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
                ledger_of(&mut conn, &report);
            }
            let archived: i64 =
                attack.promises(&mut conn, campaign, &before).iter().map(|run| run.counts.archived).sum();
            attack.holds(archived == due(&before), || format!("{archived} were archived, {} due", due(&before)));
            let found = sweep(&engine, &manual(campaign, MEMBERS, true)).counts.deleted;
            attack.holds(found == 0, || format!("the next run found {found} more"));
            if attack.faults() >= kills() {
                break;
            }
        }
        attack.verify(&db.store_at(clock_ahead(minutes + 1)));
        attack.end();
    }

    fn a_killed_restore_loses_nothing_and_the_next_completes(db) {
        let (mut conn, mut attack) = (db.connect(), Attack::new("kill a restore", db.backend()));
        let (mut points, mut minutes) = (points(db.backend()), 0);
        for id in 1.. {
            let campaign = campaign(db, id, &numbers(NUMBERS, 9));
            let before = tables::numbers(&mut conn, campaign);
            let source = sweep(&engine(db.store_at(clock_ahead(minutes)), 500), &manual(campaign, MEMBERS, true)).run_id;
            while attack.faults() < kills() {
                minutes += 1;
                let point = points.next().unwrap();
                let task = format!("{} {campaign} {minutes} restore:{source}", db.url());
                let ended = kill(&task, &passing(point));
                let runs = attack.promises(&mut conn, campaign, &before);
                if let Some((run_id, chunk)) = ended.last_progress {
                    let run = runs.iter().find(|run| run.id == run_id).expect("the restore is in the ledger");
                    attack.holds(run.chunks >= chunk, || "a chunk was reported and is not in the ledger".to_owned());
                }
                if ended.by_itself {
                    break;
                }
                attack.fault(&describe(point));
                // It was killed after its last chunk: nothing is left to restore.
                if all_is_back(&ledger(&mut conn, source)) {
                    break;
                }
            }
            let engine = engine(db.store_at(clock_ahead(minutes + 1)), 500);
            if !all_is_back(&ledger(&mut conn, source)) {
                let report = restore(&engine, &restore_of(source), &mut Control::unattended()).unwrap();
                assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
            }
            let runs = attack.promises(&mut conn, campaign, &before);
            let back: i64 = runs.iter().filter(|run| run.kind == RunKind::Restore).map(|run| run.counts.matched).sum();
            let source = ledger(&mut conn, source);
            attack.holds((source.restored, back) == (source.counts.archived, source.counts.archived), || {
                format!("{} of {} were restored; the restores took {back}", source.restored, source.counts.archived)
            });
            assert_eq!(tables::numbers(&mut conn, campaign), before);
            if attack.faults() >= kills() {
                break;
            }
        }
        attack.verify(&db.store_at(clock_ahead(minutes + 1)));
        attack.end();
    }
}
