//! `kill -9` of a sweeping or restoring process at random instants: the promises 1 to 3 of the design hold, and the next
//! run completes the work.

use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use callsweep_core::campaign::CampaignId;
use callsweep_core::clock::Clock;
use callsweep_core::history::restore::restore;
use callsweep_core::on_each_backend;
use callsweep_core::purge::{Control, Outcome, Progress};
use callsweep_core::run::Run;
use callsweep_core::settings::DatabaseSettings;
use callsweep_core::store::runs::{self, RunFilter};
use callsweep_core::store::{AnyConnection, Store};
use callsweep_core::testkit::sample::numbers;
use callsweep_core::testkit::tables;

use chrono::TimeDelta;

use crate::restore::take_back;
use crate::support::{
    campaign, check_sums, engine, ledger, ledger_of, manual, nothing_is_violated, sweep, watch, watch_resumed,
};

/// Set for the child alone: the database that it works on, by how many minutes its clock is ahead, and what it does: `-`
/// begins a sweep, an id resumes that run, `restore:` and an id takes that run back.
const TASK: &str = "CALLSWEEP_TEST_KILL";
const MEMBERS: &str = r#"{"recycleTime":"2020-12-31 00:00:00","recycleType":"1"}"#;
const NUMBERS: i64 = 3_000;
const KILLS: i64 = 10;

/// A clock that is ahead: a run whose process was killed minutes ago is known to be dead.
fn ahead(minutes: i64) -> Clock {
    Clock::from_fn(move || Clock::system().now() + TimeDelta::minutes(minutes))
}

/// The process that is killed: this binary again, told to run this test alone. Without [`TASK`] it does nothing.
#[test]
fn child() {
    let Ok(task) = env::var(TASK) else { return };
    let [url, minutes, what] = task.split(' ').collect::<Vec<_>>()[..] else { panic!("{task}") };
    let settings = DatabaseSettings { url: url.to_owned().into(), ..DatabaseSettings::default() };
    let mut engine = engine(Store::open(&settings, ahead(minutes.parse().unwrap())).unwrap(), 5);
    engine.pace.lanes = 2.try_into().unwrap();
    let tell = |now: &Progress| writeln!(std::io::stdout(), "told {} {}", now.run_id, now.chunks).unwrap();
    if let Some(run_id) = what.strip_prefix("restore:") {
        let mut control = Control { progress: Box::new(tell), ..Control::unattended() };
        restore(&engine, &take_back(run_id.parse().unwrap()), &mut control).unwrap();
        return;
    }
    match what.parse() {
        Ok(run_id) => watch_resumed(&engine, run_id, tell),
        Err(_) => watch(&engine, &manual(CampaignId::try_from(1).unwrap(), MEMBERS, true), tell),
    };
}

/// Starts the child and kills it at some instant after so many chunks. Says which run it worked on, and the last chunk
/// that it told of.
fn kill_after(chunks: usize, task: &str) -> (i64, i64) {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["kill::child", "--exact", "--nocapture"])
        .env(TASK, task)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut told = lines.filter_map(|line| {
        let (run_id, chunk) = line.split_once("told ")?.1.split_once(' ')?;
        Some((run_id.parse().unwrap(), chunk.parse().unwrap()))
    });
    let before = told.by_ref().take(chunks).last().expect("the child sweeps");
    // The instant falls anywhere in a chunk, which takes some milliseconds.
    thread::sleep(Duration::from_micros(rand::random_range(0..10_000)));
    child.kill().unwrap();
    child.wait().unwrap();
    told.last().unwrap_or(before)
}

/// The promises, as of one commit: a server may still be at the last one of a client that is gone.
fn check(conn: &mut AnyConnection, campaign: CampaignId, before: &[tables::NumberRow]) -> Vec<Run> {
    tables::snapshot(conn, |conn| {
        let (left, history) = (tables::numbers(conn, campaign), tables::history(conn, campaign));
        let runs = runs::list(conn, &RunFilter { limit: 1_000, ..RunFilter::default() }).unwrap();
        let mut all: Vec<tables::NumberRow> = history.iter().map(|row| row.number.clone()).chain(left).collect();
        all.sort_by_key(|number| number.id);
        assert!(all == before, "a number is in two places, in none, or changed");
        assert!(history.iter().all(|row| row.number.status == 0), "a barred number left");
        for run in &runs {
            let archived = history.iter().filter(|row| row.run_id == run.id).count();
            assert_eq!(run.counts.archived - run.restored, i64::try_from(archived).unwrap(), "run {}", run.id);
            check_sums(run);
        }
        let kept = |run: &Run| run.counts.archived - run.restored;
        assert_eq!(runs.iter().map(kept).sum::<i64>(), i64::try_from(history.len()).unwrap());
        runs
    })
}

on_each_backend! {
    fn a_killed_sweep_keeps_every_promise_and_the_next_completes(db) {
        let mut conn = db.connect();
        let campaign = campaign(db, 1, &numbers(NUMBERS, 9));
        let before = tables::numbers(&mut conn, campaign);
        let mut resumed = String::from("-");
        for minutes in 1..=KILLS {
            let task = format!("{} {minutes} {resumed}", db.url());
            let (run_id, chunk) = kill_after(rand::random_range(1..=15), &task);
            let runs = check(&mut conn, campaign, &before);
            let run = runs.iter().find(|run| run.id == run_id).unwrap();
            assert_eq!(run.state, "running", "it was killed before it had ended");
            assert!(run.chunks >= chunk, "a chunk was told of and is not in the ledger");
            // The next child goes on with this run, or begins one.
            resumed = if rand::random_bool(0.5) { run_id.to_string() } else { "-".to_owned() };
        }
        let last = check(&mut conn, campaign, &before)[0].id;
        let engine = engine(db.store_at(ahead(KILLS + 1)), 500);
        let report = watch_resumed(&engine, last, |_| ());
        assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
        ledger_of(&mut conn, &report);
        let runs = check(&mut conn, campaign, &before);
        let due = before.iter().filter(|number| number.status == 0 && number.recycle_time.is_some()).count();
        assert_eq!(runs.iter().map(|run| run.counts.archived).sum::<i64>(), i64::try_from(due).unwrap());
        assert_eq!(sweep(&engine, &manual(campaign, MEMBERS, true)).counts.deleted, 0);
    }

    fn a_killed_restore_keeps_every_promise_and_the_next_completes(db) {
        let mut conn = db.connect();
        let campaign = campaign(db, 1, &numbers(NUMBERS, 9));
        let before = tables::numbers(&mut conn, campaign);
        let source = sweep(&engine(db.store(), 500), &manual(campaign, MEMBERS, true)).run_id;
        for minutes in 1..=KILLS {
            let task = format!("{} {minutes} restore:{source}", db.url());
            let (run_id, chunk) = kill_after(rand::random_range(1..=15), &task);
            let runs = check(&mut conn, campaign, &before);
            let run = runs.iter().find(|run| run.id == run_id).unwrap();
            assert_eq!((run.kind.as_str(), run.state.as_str()), ("restore", "running"), "it was killed before it had ended");
            assert!(run.chunks >= chunk, "a chunk was told of and is not in the ledger");
        }
        let engine = engine(db.store_at(ahead(KILLS + 1)), 500);
        let report = restore(&engine, &take_back(source), &mut Control::unattended()).unwrap();
        assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
        let runs = check(&mut conn, campaign, &before);
        let back: i64 = runs.iter().filter(|run| run.kind == "restore").map(|run| run.counts.matched).sum();
        let source = ledger(&mut conn, source);
        assert_eq!((source.restored, back), (source.counts.archived, source.counts.archived));
        assert_eq!(tables::numbers(&mut conn, campaign), before);
        nothing_is_violated(&engine.store);
    }
}
