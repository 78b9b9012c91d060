//! Ctrl-C and SIGTERM end a sweep between two chunks, with an exact account.

use std::process::Command;
use std::time::{Duration, Instant};

use callsweep_core::campaign::CampaignStatus;
use callsweep_core::number::NewNumber;
use callsweep_testkit::on_each_backend;
use callsweep_testkit::{TestDatabase, sample, tables};
use serde_json::{Value, json};

use crate::program::{Ran, Worker};

/// So many chunks of one number take far longer than a signal.
const NUMBERS: i64 = 20_000;
/// A sweep that has not begun by then will not.
const BEGINS_WITHIN: Duration = Duration::from_secs(60);

/// Stops a sweep by a signal once its first chunk is in the ledger, and checks that all accounts agree.
fn stops_by(db: &TestDatabase, signal: &str) {
    let mut conn = db.connect();
    let campaign = sample::campaign(&mut conn, 5, CampaignStatus::Suspended);
    let new: Vec<NewNumber> = (1..=NUMBERS).map(sample::number).collect();
    sample::insert(&mut conn, campaign, &new);

    let worker = Worker::on(db);
    let words = "sweep --vdn 1 --campaign 5 --custom-field batch --archive-history --execute --format json";
    let child = worker.start(&format!("{words} --chunk-size 1"));
    let deadline = Instant::now() + BEGINS_WITHIN;
    let has_begun = || worker.reports_json(0, "runs")[0]["chunks"].as_i64() > Some(0);
    while !has_begun() {
        assert!(Instant::now() < deadline, "no chunk");
    }
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
    let stopped = Ran::read(child);
    assert_eq!((stopped.code, stopped.stderr.as_str()), (Some(4), ""));

    let account: Value = serde_json::from_str(&stopped.stdout).unwrap();
    let deleted = account["deleted"].as_i64().unwrap();
    assert!((1..NUMBERS).contains(&deleted), "{account}");
    assert_eq!((&account["state"], &account["reason"]), (&json!("stopped"), &json!("stopped by a person")));
    assert_eq!(account["archived"], deleted);
    let run = worker.reports_json(0, &format!("runs {}", account["runId"]));
    assert_eq!(
        (&run["state"], &run["deleted"], &run["archived"]),
        (&json!("stopped"), &json!(deleted), &json!(deleted))
    );
    assert_eq!(tables::history_ids(&mut conn, campaign), (1..=deleted).collect());
    assert_eq!(tables::ids(&mut conn, campaign), (deleted + 1..=NUMBERS).collect());

    // The same command goes on from there.
    let rest: Value = serde_json::from_str(&worker.reports(0, words)).unwrap();
    assert_eq!(rest["deleted"], NUMBERS - deleted);
    assert_eq!(tables::history_ids(&mut conn, campaign).len(), usize::try_from(NUMBERS).unwrap());
}

on_each_backend! {
    fn ctrl_c(db) {
        stops_by(db, "-INT");
    }

    fn sigterm(db) {
        stops_by(db, "-TERM");
    }
}
