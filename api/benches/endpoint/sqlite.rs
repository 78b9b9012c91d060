//! On SQLite: Callsweep, and the same work without HTTP.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use callsweep_core::store::Backend;
use callsweep_testkit::measure::{self, percentile};
use callsweep_testkit::{TestDatabase, big};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::Text;
use diesel::sqlite::Sqlite;

use crate::Size;
use crate::data::{Data, Work};
use crate::ours;
use crate::process::Failure;
use crate::report::{Comparison, Goal, Report};
use crate::turns::{Contender, Run, take_turns};
use crate::wrk::{self, CLIENTS};

const OURS: &str = "Callsweep, SQLite";
const SINGLE_COMMITS: &str = "SQLite without HTTP, one commit per request, 64 connections";
const SHARED_CONNECTION: &str = "SQLite without HTTP, one commit per request, one shared connection";
const GROUP_COMMIT: &str = "SQLite without HTTP, group commit of fifty";
/// Deletes in one commit.
const SHARE: i64 = 50;

/// Compares Callsweep with SQLite alone.
pub(crate) fn measure(size: Size, report: &mut Report) -> Result<(), Failure> {
    if report.lacks("SQLite", wrk::installed(), wrk::MISSING) {
        return Ok(());
    }
    let data = Data { numbers: size.numbers };
    let full = big::database(Backend::Sqlite, data.numbers);
    report.version(measure::version(&mut full.connect()));
    let dir = tempfile::tempdir()?;
    let contenders = [
        ours::contender(OURS, size, data, dir.path()),
        Contender::new(SINGLE_COMMITS, |database| alone(size, data, database, [CLIENTS, CLIENTS, 1])),
        Contender::new(SHARED_CONNECTION, |database| alone(size, data, database, [CLIENTS, 1, 1])),
        Contender::new(GROUP_COMMIT, |database| alone(size, data, database, [1, 1, SHARE])),
    ];
    let comparisons = [
        Comparison::new(OURS, SINGLE_COMMITS, &[Goal::RateAtLeast(2.0)]),
        Comparison::new(OURS, SHARED_CONNECTION, &[]),
        Comparison::new(OURS, GROUP_COMMIT, &[]),
    ];
    let measured = take_turns(size, &full, data, &contenders)?;
    report.add(&comparisons, &measured)
}

/// A connection with the settings of the endpoint: each commit is on disk.
fn connect(database: &TestDatabase) -> Result<SqliteConnection, Failure> {
    let file = database.file().ok_or("SQLite has a file")?;
    let mut conn = SqliteConnection::establish(&file.display().to_string())?;
    conn.batch_execute("PRAGMA busy_timeout = 30000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")?;
    conn.batch_execute("PRAGMA wal_autocheckpoint = 10000")?;
    Ok(conn)
}

/// Runs `clients` threads that take turns on `connections` connections. Each turn removes `share` numbers and commits.
fn alone(
    size: Size,
    data: Data,
    database: &TestDatabase,
    [clients, connections, share]: [i64; 3],
) -> Result<Run, Failure> {
    let open = |_| connect(database).map(Mutex::new);
    let conns: Vec<Mutex<SqliteConnection>> = (0..connections).map(open).collect::<Result<_, Failure>>()?;
    let next = AtomicI64::new(0);
    let load = |seconds: i64| {
        let time = Duration::from_secs(seconds.unsigned_abs());
        let begun = Instant::now();
        let client = |conn: &Mutex<SqliteConnection>| {
            let mut latencies = Vec::new();
            while begun.elapsed() < time {
                let asked = Instant::now();
                let first = next.fetch_add(share, Ordering::Relaxed);
                let mut conn = conn.lock().unwrap_or_else(PoisonError::into_inner);
                conn.immediate_transaction(|conn| (first..first + share).try_for_each(|k| remove(conn, data, k)))?;
                drop(conn);
                latencies.push(asked.elapsed().as_secs_f64() * 1e3);
            }
            Ok::<_, diesel::result::Error>(latencies)
        };
        let all: Result<Vec<_>, Failure> = thread::scope(|scope| {
            let seats = conns.iter().cycle().zip(0..clients);
            let clients: Vec<_> = seats.map(|(conn, _)| scope.spawn(move || client(conn))).collect();
            let join = |client: thread::ScopedJoinHandle<'_, QueryResult<Vec<f64>>>| {
                Ok(client.join().map_err(|_| "a client panicked")??)
            };
            clients.into_iter().map(join).collect()
        });
        Ok::<_, Failure>((all?.concat(), begun.elapsed()))
    };
    load(size.warm_up)?;
    let warm = next.load(Ordering::Relaxed);
    let (latencies, took) = load(size.seconds)?;
    let answered = next.load(Ordering::Relaxed);
    let work = Work { answered, in_flight: 0, ledger: true };
    Ok(Run { rate: wrk::real(answered - warm) / took.as_secs_f64(), p99_ms: percentile(&latencies, 0.99), work })
}

const COPY: &str = "INSERT INTO call_data_history \
    SELECT campaign_id, id, session_id, called, caller, custom_field, call_data, priority, recycle_time, status, \
        created_at, updated_at, '2026-01-01 00:00:00', ? \
    FROM call_data WHERE campaign_id = ? AND session_id = ? AND status = 0";
const DELETE: &str = "DELETE FROM call_data WHERE campaign_id = ? AND session_id = ? AND status = 0";
const INSERT_RUN: &str = "INSERT INTO purge_run (\
    id, kind, actor, vdn_id, campaign_id, criteria, archive_history, state, matched, deleted, archived, barred, \
    barred_call_ongoing, barred_call_completed, barred_ongoing_task, barred_unknown_status, chunks, started_at, \
    heartbeat_at, finished_at, request_key, result_code, request_id, client_address, owner, restored, pruned) \
    VALUES (?, 'request', 'bench', 1, ?, '{\"sessionId\":\"s1\"}', 1, 'succeeded', 1, 1, 1, 0, 0, 0, 0, 0, 1, \
    '2026-01-01 00:00:00', '2026-01-01 00:00:00', '2026-01-01 00:00:00', ?, '0200000', ?, '127.0.0.1', 'bench', 0, 0)";

/// The work of one request, inside the caller's transaction.
fn remove(conn: &mut SqliteConnection, data: Data, k: i64) -> QueryResult<()> {
    let target = data.target(k);
    let (run, campaign, session_id) = (k.to_string(), target.campaign.to_string(), target.session_id);
    // As long as the endpoint's keys, and in random order, like digests.
    let request_key = format!("signature:{session_id:0<64}");
    for (sql, values) in [
        (COPY, &[&run, &campaign, &session_id][..]),
        (DELETE, &[&campaign, &session_id]),
        (INSERT_RUN, &[&run, &campaign, &request_key, &session_id]),
    ] {
        let changed = Prepared { sql, values }.execute(conn)?;
        if changed != 1 {
            return Err(diesel::result::Error::NotFound);
        }
    }
    Ok(())
}

/// A statement with text parameters, which SQLite converts to the type of the column. It is
/// prepared once, unlike `diesel::sql_query`.
struct Prepared<'a> {
    sql: &'a str,
    values: &'a [&'a String],
}

impl QueryFragment<Sqlite> for Prepared<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let mut values = self.values.iter();
        for piece in self.sql.split_inclusive('?') {
            out.push_sql(piece.trim_end_matches('?'));
            if let Some(value) = values.next() {
                out.push_bind_param::<Text, _>(*value)?;
            }
        }
        Ok(())
    }
}

impl QueryId for Prepared<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Conn> RunQueryDsl<Conn> for Prepared<'_> {}
