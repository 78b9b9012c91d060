//! A disk that is full while a sweep and an import write: a clear word, nothing lost, and on it goes when there is room.
//!
//! `ATTACK_FILLS=20` gives how often.

use std::fmt::Write as _;

use callsweep_core::campaign::CampaignStatus;
use callsweep_core::on_each_backend;
use callsweep_core::testkit::attack::{Attack, times};
use callsweep_core::testkit::disk::SmallDisk;
use callsweep_core::testkit::{sample, tables};

use crate::kill::{due, let_a_minute_pass, sweep};
use crate::program::Worker;

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

on_each_backend! {
    fn a_full_disk_is_told_and_nothing_is_lost(db) {
        let mut attack = Attack::new("fill the disk", db.backend());
        for _ in 0..fills() {
            let Some(disk) = SmallDisk::new(db.backend()) else { return };
            let (db, worker) = (disk.db(), Worker::on(disk.db()));
            let mut conn = db.connect();
            let campaign = sample::campaign(&mut conn, 1, CampaignStatus::Suspended);
            sample::insert(&mut conn, campaign, &sample::numbers(NUMBERS, 9));
            let other = sample::campaign(&mut conn, 2, CampaignStatus::Suspended);
            let before = tables::numbers(&mut conn, campaign);
            worker.write("numbers.csv", csv());

            disk.fill_but(rand::random_range(0..=LEFT));
            let ran = worker.run(&format!("{} --chunk-size 50", sweep(campaign)));
            attack.fault("a full disk under a sweep");
            attack.holds(ran.code == Some(1) && ran.stdout.contains(FULL), || format!("{ran:?}"));
            let ran = worker.run("import numbers.csv --vdn 1 --campaign 2 --format json");
            attack.fault("a full disk under an import");
            attack.holds(ran.code == Some(1) && ran.stderr.contains(FULL), || format!("{ran:?}"));

            disk.make_room();
            let runs = attack.promises(&mut conn, campaign, &before);
            let_a_minute_pass(&mut conn, &runs);
            let next = runs.first().map_or_else(|| sweep(campaign), |run| format!("sweep --resume {}", run.id));
            let ran = worker.run(&next);
            attack.holds(ran.code == Some(0), || format!("{next}: {ran:?}"));
            let runs = attack.promises(&mut conn, campaign, &before);
            let archived: i64 = runs.iter().map(|run| run.counts.archived).sum();
            attack.holds(archived == due(&before), || format!("{archived} were archived, {} were due", due(&before)));

            let imported = tables::ids(&mut conn, other).len();
            let ran = worker.run("import numbers.csv --vdn 1 --campaign 2");
            attack.holds(ran.code == Some(0), || format!("{ran:?}"));
            let twice = tables::ids(&mut conn, other).len();
            attack.holds(twice == imported + 20_000, || format!("{imported} numbers, and after the import {twice}"));
            attack.verify(&db.store());
        }
        attack.end();
    }
}
