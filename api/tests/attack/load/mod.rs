//! More requests than the server can do, for as long as one likes: nothing grows, nothing is lost, and it recovers.
//!
//! `ATTACK_LOAD_SECONDS=3600` gives the time.

mod account;
mod client;
mod watch;

use std::fmt::Write as _;
use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use callsweep_testkit::TestDatabase;
use callsweep_testkit::attack::{Attack, times};
use callsweep_testkit::on_each_backend;

use crate::process::{Running, program, write_settings};
use crate::server::eventually;
use account::Numbers;
use client::{CONNECTIONS, Client, KEYS};
use watch::{Sample, Watch};

/// As many requests as this at the same time keep the server busy and wait for nothing but it.
const SATURATING: usize = 64;
/// How long it is looked how much the server can do.
const MEASURED_FOR: Duration = Duration::from_secs(2);
/// Between two looks at the server.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Whoever lets it run for an hour sees how it goes.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Not eprintln: its output is shown for failed tests only.
fn tell(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn seconds() -> u64 {
    times("ATTACK_LOAD_SECONDS", 10)
}

/// The server as an operator starts it. It waits a shorter time for a connection, so that it sends some away who waited,
/// and some because their key has too many under way.
fn start(db: &TestDatabase, directory: &std::path::Path) -> Running {
    let mut keys = String::from("queue_timeout = \"500ms\"\n");
    for key in 0..KEYS {
        let (access_key, secret_key) = client::key(key);
        writeln!(keys, "[[api.keys]]\naccess_key = \"{access_key}\"\nsecret_key = \"{secret_key}\"\nvdns = \"all\"")
            .unwrap();
    }
    let file = write_settings(directory, db.url(), &keys);
    let mut command = program(directory, &["serve", "--config", &file]);
    // A line for each request of an hour would fill the disk.
    command.env("RUST_LOG", "warn,callsweep_api::http::server=info");
    let mut server = Running::start(command);
    server.let_it_talk();
    server
}

/// Half as much again as went through: at first, and in the best second since.
fn too_much(per_second: u64) -> u32 {
    u32::try_from(per_second * 3 / 2 + 1).unwrap()
}

/// Sends too much for the time that is asked for, and looks on. Says how much that was.
fn overload(server: &Running, client: &Client, watch: &mut Watch, saturating: u64) -> (Vec<Sample>, u32) {
    // All connections are opened once: what they hold makes no difference later.
    client.closed(CONNECTIONS);
    thread::sleep(MEASURED_FOR);
    let begun = Instant::now();
    let (mut samples, mut best, mut second) = (Vec::new(), saturating, (Instant::now(), client.tally.done()));
    client.open(too_much(best));
    let mut told = begun;
    while begun.elapsed() < Duration::from_secs(seconds()) {
        thread::sleep(LOOK_EVERY);
        samples.push(watch.look(server, Some(client)));
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            tell(&format!("after {:?}: {}; {:?}", begun.elapsed(), client.tally, samples.last()));
        }
        if second.0.elapsed() >= Duration::from_secs(1) {
            let done = client.tally.done();
            let per_second = u128::from(done - second.1) * 1_000 / second.0.elapsed().as_millis();
            best = best.max(u64::try_from(per_second).unwrap());
            second = (Instant::now(), done);
            // Others work on this machine too: it may do more now than it did when it was measured.
            client.open(too_much(best));
        }
    }
    (samples, too_much(best))
}

/// How much the server does in a second when as many wait as it can serve.
fn saturate(client: &Client) -> u64 {
    client.closed(SATURATING);
    // The first requests open connections.
    thread::sleep(MEASURED_FOR / 2);
    let before = client.tally.done();
    thread::sleep(MEASURED_FOR);
    (client.tally.done() - before) / MEASURED_FOR.as_secs()
}

/// Who comes after it is served, and nothing of it is under way any more. Says how long both took.
fn recovers(server: &Running, client: &Client, watch: &mut Watch) -> (Duration, Duration) {
    let (ended, done) = (Instant::now(), client.tally.done());
    client.closed(1);
    eventually("a request is done", || client.tally.done() > done);
    let served = ended.elapsed();
    client.rest();
    let watch = std::cell::RefCell::new(watch);
    eventually("nothing is under way", || watch.borrow_mut().look(server, None).is_at_rest());
    (served, ended.elapsed())
}

on_each_backend! {
    fn an_overload_leaves_nothing_behind(db) {
        let mut attack = Attack::new("overload", db.backend());
        let directory = tempfile::tempdir().unwrap();
        let numbers = Numbers::supply(db);
        let mut watch = Watch::before(db);
        let server = start(db, directory.path());
        let client = Client::start(server.address, numbers.ready.clone());
        let saturating = saturate(&client);
        client.rest();
        let before = watch.look_at_rest(&server);
        let (samples, sent_each_second) = overload(&server, &client, &mut watch, saturating);
        client.rest();
        let (served, empty) = recovers(&server, &client, &mut watch);

        let held = watch::nothing_grew(&mut attack, &samples);
        let tally = client.end();
        let watch = std::cell::RefCell::new(watch);
        eventually("the connections of clients are closed", || watch.borrow_mut().look(&server, None).clients == 0);
        watch::nothing_is_held(&mut attack, &before, &watch.borrow_mut().look(&server, None));
        tally.faults(&mut attack);
        attack.holds(attack.faults() > 0, || "nothing was too much".to_owned());
        drop(server);
        numbers.account(db, &mut attack, &tally);
        attack.verify(&db.store());
        tell(&format!(
            "overload on {} for {} s: it could do {saturating}/s and was sent up to {sent_each_second}/s; {tally}; by \
             quarters: {held}; after it a request was done within {served:?}, and nothing was left within {empty:?}",
            db.backend(),
            seconds()
        ));
        attack.end();
    }
}
