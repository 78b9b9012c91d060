//! A disk that is full while a sweep and an import write: a clear word, nothing lost, and on it goes when there is room.
//!
//! `ATTACK_FILLS=20` gives how often.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[allow(dead_code, reason = "the other test program uses the rest")]
#[path = "../worker/program.rs"]
mod program;

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use callsweep_core::campaign::CampaignStatus;
use callsweep_testkit::attack::{Attack, let_a_minute_pass, times};
use callsweep_testkit::disk::SmallDisk;
use callsweep_testkit::on_each_backend;
use callsweep_testkit::sample;
use callsweep_testkit::tables::{self, NumberRow};

use program::{Ran, Worker};

/// Every number that may go and has a time is due.
const SWEEP: &str =
    "sweep --vdn 1 --campaign 1 --recycle-type 1 --recycle-time '2020-12-31 00:00:00' --archive-history --execute";
/// More than fits twice into what is left of the disk.
const NUMBERS: i64 = 4_000;
/// KiB that are left when the disk is filled, at most.
const LEFT: u64 = 512;
/// What people are told.
const FULL: &str = "the disk of the database is full: make room";

fn fills() -> u64 {
    times("ATTACK_FILLS", 1)
}

/// A file whose numbers do not fit into what is left.
fn csv() -> String {
    let mut text = String::from("called,customField\n");
    for n in 0..20_000 {
        writeln!(text, "139{n:08},{n:0>100}").unwrap();
    }
    text
}

/// Runs a command to its end. `None` where the server has ended itself: the command would wait for it, for minutes.
fn run(disk: &SmallDisk, worker: &Worker, words: &str) -> Option<Ran> {
    let mut child = worker.start(words);
    while child.try_wait().unwrap().is_none() {
        if disk.has_ended_the_server() {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        thread::sleep(Duration::from_millis(100));
    }
    (!disk.has_ended_the_server()).then(|| Ran::read(child))
}

/// In the account of the run, or where there was no room even to begin one.
fn is_told(ran: &Ran) -> bool {
    ran.code == Some(1) && [&ran.stdout, &ran.stderr].iter().any(|text| text.contains(FULL))
}

on_each_backend! {
    fn a_full_disk_is_told_and_nothing_is_lost(db) {
        let mut attack = Attack::new("fill the disk", db.backend());
        for _ in 0..fills() {
            let Some(mut disk) = SmallDisk::new(db.backend()) else { return };
            let worker = Worker::on(disk.db());
            let mut conn = disk.db().connect();
            let campaign = sample::campaign(&mut conn, 1, CampaignStatus::Suspended);
            sample::insert(&mut conn, campaign, &sample::numbers(NUMBERS, 9));
            let other = sample::campaign(&mut conn, 2, CampaignStatus::Suspended);
            let before = tables::numbers(&mut conn, campaign);
            let is_due = |number: &&NumberRow| number.status == 0 && number.recycle_time.is_some();
            let due = i64::try_from(before.iter().filter(is_due).count()).unwrap();
            worker.write("numbers.csv", csv());

            disk.fill_but(rand::random_range(0..=LEFT));
            let import = "import numbers.csv --vdn 1 --campaign 2 --format json";
            for (what, words) in [("a sweep", &*format!("{SWEEP} --chunk-size 50")), ("an import", import)] {
                if !disk.has_ended_the_server() {
                    attack.fault(&format!("a full disk under {what}"));
                    let ran = run(&disk, &worker, words);
                    attack.holds(ran.as_ref().is_none_or(is_told), || format!("{ran:?}"));
                }
            }

            if disk.make_room() {
                attack.fault("a server that ended itself on a full disk");
            }
            let mut conn = disk.db().connect();
            let runs = attack.promises(&mut conn, campaign, &before);
            let_a_minute_pass(&mut conn, &runs);
            let next = runs.first().map_or_else(|| SWEEP.to_owned(), |run| format!("sweep --resume {}", run.id));
            let ran = worker.run(&next);
            attack.holds(ran.code == Some(0), || format!("{next}: {ran:?}"));
            let runs = attack.promises(&mut conn, campaign, &before);
            let archived: i64 = runs.iter().map(|run| run.counts.archived).sum();
            attack.holds(archived == due, || format!("{archived} were archived, {due} were due"));

            let imported = tables::ids(&mut conn, other).len();
            let ran = worker.run("import numbers.csv --vdn 1 --campaign 2");
            attack.holds(ran.code == Some(0), || format!("{ran:?}"));
            let twice = tables::ids(&mut conn, other).len();
            attack.holds(twice == imported + 20_000, || format!("{imported} numbers, and after the import {twice}"));
            attack.verify(&disk.db().store());
        }
        attack.end();
    }
}
