//! A disk that is full while requests come: each is answered, nothing is lost, and the same requests are done when there is
//! room.
//!
//! `ATTACK_FILLS=20` gives how often.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[allow(dead_code, reason = "the other test program uses the rest")]
#[path = "../api/http.rs"]
mod http;
#[allow(dead_code, reason = "the other test program uses the rest")]
#[path = "../api/process.rs"]
mod process;
#[allow(dead_code, reason = "the other test program uses the rest")]
#[path = "../api/server.rs"]
mod server;
#[path = "../api/signer.rs"]
mod signer;

use std::thread;

use callsweep_core::campaign::{CampaignId, CampaignStatus};
use callsweep_core::clock::Clock;
use callsweep_core::number::{CustomField, NewNumber, NumberStatus};
use callsweep_core::store::AnyConnection;
use callsweep_testkit::attack::{Attack, let_a_minute_pass, times};
use callsweep_testkit::disk::SmallDisk;
use callsweep_testkit::on_each_backend;
use callsweep_testkit::sample;
use callsweep_testkit::tables::{self, NumberRow};

use process::{Running, key, program, write_settings};
use server::Call;

const CLIENTS: i64 = 4;
/// Of each client.
const BATCHES: i64 = 5;
/// Several chunks of numbers; the last is being called and stays.
const BATCH: i64 = 200;
/// KiB that are left when the disk is filled, at most.
const LEFT: u64 = 256;
/// What operators are told.
const FULL: &str = "the disk of the database is full: make room";

fn fills() -> u64 {
    times("ATTACK_FILLS", 1)
}

fn bring(conn: &mut AnyConnection, campaign: CampaignId) -> Vec<NumberRow> {
    let numbers: Vec<NewNumber> = (0..CLIENTS * BATCHES * BATCH)
        .map(|id| NewNumber {
            custom_field: Some(CustomField::parse(&(id / BATCH).to_string()).unwrap()),
            status: if id % BATCH == BATCH - 1 { NumberStatus::Calling } else { NumberStatus::Waiting },
            ..sample::number(id)
        })
        .collect();
    sample::insert(conn, campaign, &numbers);
    tables::numbers(conn, campaign)
}

/// What a client asks for, and how many numbers will go: one by its sessionId, then the rest of its batch.
fn calls(client: i64) -> Vec<(Vec<u8>, i64)> {
    let batches = client * BATCHES..(client + 1) * BATCHES;
    let bodies = batches.flat_map(|batch| {
        let one = format!(r#"{{"sessionId":"s{}","archiveHistory":1}}"#, batch * BATCH);
        [(one, 1), (format!(r#"{{"customField":"{batch}","archiveHistory":1}}"#), BATCH - 2)]
    });
    let signed = |(body, due)| {
        let now = Clock::system().now().format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        (Call::new(body).to(1, 1).sign_with(|signer| signer.timestamp = now).to_bytes(), due)
    };
    bodies.map(signed).collect()
}

/// Sends all requests, each client its own in turn. The answers: how many numbers went of how many, and the code.
fn send(server: &Running, calls: &[Vec<(Vec<u8>, i64)>]) -> Vec<(String, i64, i64)> {
    let one = |(request, due): &(Vec<u8>, i64)| {
        let response = http::exchange(server.address, request);
        // 503 where the server has ended itself.
        assert!([200, 503].contains(&response.status), "{response:?}");
        let told = response.members();
        (told.code, told.count, *due)
    };
    thread::scope(|scope| {
        let clients: Vec<_> =
            calls.iter().map(|calls| scope.spawn(move || calls.iter().map(one).collect::<Vec<_>>())).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    })
}

on_each_backend! {
    fn requests_on_a_full_disk_are_answered_and_done_later(db) {
        let mut attack = Attack::new("fill the disk under requests", db.backend());
        for _ in 0..fills() {
            let Some(mut disk) = SmallDisk::new(db.backend()) else { return };
            let directory = tempfile::tempdir().unwrap();
            let mut conn = disk.db().connect();
            let campaign = sample::campaign(&mut conn, 1, CampaignStatus::Suspended);
            let before = bring(&mut conn, campaign);
            let settings = write_settings(directory.path(), disk.db().url(), &format!("chunk_size = 20\n{}", key()));
            let mut server = Running::start(program(directory.path(), &["serve", "--config", &settings]));
            let log = server.let_it_talk();
            let calls: Vec<_> = (0..CLIENTS).map(calls).collect();

            disk.fill_but(rand::random_range(0..=LEFT));
            let told = send(&server, &calls);
            for (code, count, due) in told {
                let is_done = code == "0200000" && count == due;
                attack.holds(is_done || code == "0200006" && count < due, || format!("{code}: {count} of {due}"));
                if !is_done {
                    attack.fault("a request on a full disk");
                }
            }
            attack.holds(http::get(server.ops_address, "/healthz").status == 200, || "it is not alive".to_owned());
            if !disk.has_ended_the_server() {
                attack.promises(&mut conn, campaign, &before);
            }
            if disk.make_room() {
                attack.fault("a server that ended itself on a full disk");
            }
            let mut conn = disk.db().connect();
            let runs = attack.promises(&mut conn, campaign, &before);
            let_a_minute_pass(&mut conn, &runs);
            for (code, count, due) in send(&server, &calls) {
                attack.holds(code == "0200000" && count == due, || format!("{code}: {count} of {due} with room"));
            }
            attack.holds(http::get(server.ops_address, "/readyz").status == 200, || "it is not ready".to_owned());
            let runs = attack.promises(&mut conn, campaign, &before);
            attack.holds(runs.len() == calls.concat().len(), || format!("{} runs", runs.len()));
            attack.verify(&disk.db().store());
            server.terminate();
            server.wait();
            let log = log.join().unwrap();
            attack.holds(log.contains(FULL), || format!("the log does not say it: {log}"));
        }
        attack.holds(attack.faults() > 0, || "the disk was never full".to_owned());
        attack.end();
    }
}
