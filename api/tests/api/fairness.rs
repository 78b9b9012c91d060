//! Promise 8: a key whose requests cannot go on does not take the service from another key.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use callsweep_core::campaign::CampaignStatus;
use callsweep_core::store::Backend;
use callsweep_testkit::on_each_backend;
use diesel::connection::SimpleConnection;

use crate::server::{CAMPAIGN, Call, LIMITED_KEY, TestServer, add_campaign_in, eventually};

/// Clients of the key that is blocked: more than the server has connections.
const BLOCKED_CLIENTS: usize = 10;
/// Requests by which a latency is measured, and how often that is done.
const REQUESTS: usize = 200;
const ROUNDS: usize = 3;
/// Whoever waits for a connection of the blocked key waits for as long as a request may wait for its turn: two seconds. How
/// much the latency grows is not asserted: a busy machine makes differences of its own.
const NEVER_WAITED: Duration = Duration::from_secs(1);

/// The campaign of the other key, in a VDN of its own.
const OTHER: (i64, i64) = (7, 70);

/// What the blocked key asks for, in the locked campaign: by the group commit, and alone.
const BLOCKED: [&str; 2] = [r#"{"sessionId":"1","archiveHistory":1}"#, r#"{"customField":"batch","archiveHistory":1}"#];

/// A body that no call had before: every other one is served by the group commit, the rest alone.
fn unique_body() -> String {
    static BODIES: AtomicUsize = AtomicUsize::new(0);
    let n = BODIES.fetch_add(1, Ordering::Relaxed);
    let member = if n.is_multiple_of(2) { "sessionId" } else { "customField" };
    format!(r#"{{"{member}":"nobody{n}","archiveHistory":1}}"#)
}

/// The p99 latency of the other key: the least of several rounds, since whatever else the machine does only adds to it.
fn p99_of_the_other_key(server: &TestServer) -> Duration {
    let round = || {
        let mut latencies: Vec<Duration> = (0..REQUESTS)
            .map(|_| {
                let call = Call::new(unique_body()).by(LIMITED_KEY).to(OTHER.0, OTHER.1);
                let started = Instant::now();
                let response = server.send(&call);
                assert_eq!(response.status, 200, "the other key is sent away: {response:?}");
                started.elapsed()
            })
            .collect();
        latencies.sort();
        latencies[REQUESTS * 99 / 100]
    };
    (0..ROUNDS).map(|_| round()).min().unwrap()
}

on_each_backend! {
    fn a_key_whose_campaign_is_locked_leaves_the_other_key_its_latency(db) {
        if db.backend() == Backend::Sqlite {
            return; // Whoever writes holds all of it: no key can be blocked by itself.
        }
        let server = TestServer::start(db);
        server.add(&(0..10).map(|n| server.number(&n.to_string())).collect::<Vec<_>>());
        add_campaign_in(&server.store, "7", OTHER.1, CampaignStatus::Suspended);
        let unblocked = p99_of_the_other_key(&server);

        let mut holder = db.connect();
        holder.batch_execute(&format!("BEGIN; UPDATE campaign SET name = 'held' WHERE id = {CAMPAIGN}")).unwrap();
        let released = AtomicBool::new(false);
        let blocked = std::thread::scope(|scope| {
            for client in 0..BLOCKED_CLIENTS {
                let (server, released) = (&server, &released);
                scope.spawn(move || {
                    while !released.load(Ordering::Relaxed) {
                        server.send(&Call::new(BLOCKED[client % 2]));
                    }
                });
            }
            // The clients end only when they are released: also where an assertion fails.
            let measured = catch_unwind(AssertUnwindSafe(|| {
                eventually("the blocked key uses its share", || server.metric("callsweep_key_connections_waiting") > 0);
                p99_of_the_other_key(&server)
            }));
            released.store(true, Ordering::Relaxed);
            holder.batch_execute("ROLLBACK").unwrap();
            measured.unwrap_or_else(|panic| resume_unwind(panic))
        });
        assert!(blocked < NEVER_WAITED, "the other key waited: its p99 was {unblocked:?}, and is {blocked:?}");
        eventually("nobody waits", || server.metric("callsweep_key_connections_waiting") == 0);
    }
}
