//! What the server holds: memory, file descriptors, connections, requests.

use std::fs;
use std::path::PathBuf;

use callsweep_core::store::{AnyConnection, Backend};
use callsweep_testkit::TestDatabase;
use callsweep_testkit::attack::Attack;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::client::{AT_ONCE, Client};
use crate::http;
use crate::process::Running;

/// By how much the last quarter may be above the second, where all is warm, besides a tenth. It is what bursts make of
/// difference; a leak of a kilobyte for each request is more within minutes.
const MEMORY_KIB: u64 = 24 * 1024;
const DESCRIPTORS: u64 = 64;
const UNANSWERED: u64 = 2 * AT_ONCE;
/// Connections to the database: `database.pool_size` unless it is set, and one of the health checks.
const CONNECTIONS: u64 = 9;
/// The pool opens a connection when so many are needed for the first time, which may be late. More than [`CONNECTIONS`] is a
/// leak.
const FILLING: u64 = CONNECTIONS - 1;
/// Open files of one connection to the database, on SQLite: the file, its log, and the index of that.
const FILES: u64 = 3;

/// One look.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Resident memory.
    memory_kib: u64,
    /// Open files and sockets, without those of clients.
    descriptors: u64,
    /// Connections of clients.
    pub(super) clients: u64,
    /// Connections to the database.
    connections: u64,
    /// Requests that the server says it is at.
    in_flight: u64,
    /// Requests that wait for the database.
    waiting: u64,
    /// Requests that were sent and not answered.
    unanswered: u64,
}

impl Sample {
    /// Nothing is under way.
    pub(super) fn is_at_rest(&self) -> bool {
        (self.in_flight, self.waiting) == (0, 0)
    }
}

pub(super) struct Watch {
    conn: AnyConnection,
    /// The SQLite file.
    file: Option<PathBuf>,
    /// Connections that are not the server's.
    others: u64,
}

impl Watch {
    /// Looks first at who else is connected.
    pub(super) fn before(db: &TestDatabase) -> Self {
        let mut watch = Self { conn: db.connect(), file: db.file(), others: 0 };
        watch.others = watch.sessions();
        watch
    }

    /// Connections to the database, as a server counts them.
    fn sessions(&mut self) -> u64 {
        #[derive(QueryableByName)]
        struct Count {
            #[diesel(sql_type = BigInt)]
            count: i64,
        }
        let query = match self.conn.backend() {
            Backend::Sqlite => return 0,
            Backend::Postgres => "SELECT count(*) AS count FROM pg_stat_activity WHERE datname = current_database()",
            Backend::Mysql => "SELECT count(*) AS count FROM information_schema.processlist WHERE db = DATABASE()",
        };
        let rows: Vec<Count> = diesel::sql_query(query).load(&mut self.conn).unwrap();
        u64::try_from(rows[0].count).unwrap()
    }

    /// As [`Watch::look`], when no connection opens or closes meanwhile: it would be counted on one side alone.
    pub(super) fn look_at_rest(&mut self, server: &Running) -> Sample {
        loop {
            let [first, second] = [self.look(server, None), self.look(server, None)];
            if (first.descriptors, first.clients) == (second.descriptors, second.clients) {
                return second;
            }
        }
    }

    pub(super) fn look(&mut self, server: &Running, client: Option<&Client>) -> Sample {
        let process = PathBuf::from(format!("/proc/{}", server.id()));
        let open: Vec<PathBuf> = fs::read_dir(process.join("fd"))
            .unwrap()
            .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
            .collect();
        let clients = connections_at(server.address.port());
        let connections = match &self.file {
            Some(file) => u64::try_from(open.iter().filter(|open| *open == file).count()).unwrap(),
            None => self.sessions() - self.others,
        };
        let metrics = http::get(server.ops_address, "/metrics").body;
        let gauge = |name: &str| {
            let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.expect("the gauge is there").parse().unwrap()
        };
        Sample {
            memory_kib: memory_kib(&fs::read_to_string(process.join("status")).unwrap()),
            // The server holds a second handle of each.
            descriptors: u64::try_from(open.len()).unwrap().saturating_sub(2 * clients),
            clients,
            connections,
            in_flight: gauge("callsweep_http_requests_in_flight"),
            waiting: gauge("callsweep_pool_waiting"),
            unanswered: client.map_or(0, Client::unanswered),
        }
    }
}

fn memory_kib(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the process has memory");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Connections to this port of 127.0.0.1 that a process holds at the port's side.
fn connections_at(port: u16) -> u64 {
    const LISTENING: &str = "0A";
    let here = format!("0100007F:{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let held = table.lines().filter(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words[1] == here && words[3] != LISTENING && words[9] != "0"
    });
    u64::try_from(held.count()).unwrap()
}

/// A part of a look.
type Of = fn(&Sample) -> u64;

/// The median of each quarter.
fn quarters(samples: &[Sample], of: Of) -> [u64; 4] {
    let size = samples.len() / 4;
    [0, 1, 2, 3].map(|quarter| {
        let mut values: Vec<u64> = samples[quarter * size..(quarter + 1) * size].iter().map(of).collect();
        values.sort_unstable();
        values[size / 2]
    })
}

/// Checks that nothing grew and no queue was longer than it may be. Says what was held, by quarters.
pub(super) fn nothing_grew(attack: &mut Attack, samples: &[Sample]) -> String {
    let mut told = Vec::new();
    let flat: [(&str, Of, u64); 4] = [
        ("KiB of memory", |sample| sample.memory_kib, MEMORY_KIB),
        ("descriptors besides those of clients", |sample| sample.descriptors, DESCRIPTORS),
        ("connections to the database", |sample| sample.connections, FILLING),
        ("requests unanswered", |sample| sample.unanswered, UNANSWERED),
    ];
    for (what, of, tolerance) in flat {
        let [first, second, third, last] = quarters(samples, of);
        attack.holds(last <= second + second / 10 + tolerance, || format!("{what} grew from {second} to {last}"));
        told.push(format!("{what} {first}, {second}, {third}, {last}"));
    }
    for (what, of, bound) in [
        ("requests wait for the database", (|sample| sample.waiting) as Of, AT_ONCE),
        ("connections to the database", |sample| sample.connections, CONNECTIONS),
    ] {
        let most = samples.iter().map(of).max().unwrap();
        attack.holds(most <= bound, || format!("{most} {what}, no more than {bound} may"));
        told.push(format!("at most {most} {what}"));
    }
    told.join("; ")
}

/// Checks that nothing is left of what came and went. `before`: it had not been too much yet.
pub(super) fn nothing_is_held(attack: &mut Attack, before: &Sample, after: &Sample) {
    let bound = before.descriptors + FILES * CONNECTIONS;
    attack.holds(after.descriptors <= bound, || format!("{} descriptors are still open", after.descriptors));
    attack.holds(after.is_at_rest(), || format!("something is still under way: {after:?}"));
}
