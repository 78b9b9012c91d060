//! Foreground latency during a sweep: reads, inserts and deletes of single numbers at a fixed rate, idle and during
//! sweeps.
//!
//! Each operation is due at a time fixed in advance, and its latency counts from that time, not from when a connection
//! became free. Otherwise slow operations would hide those that queue behind them (coordinated omission).

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callsweep_core::store::{AnyConnection, Backend};
use callsweep_testkit::measure::{Table, median, percentile, spread};
use callsweep_testkit::{TestDatabase, big};
use diesel::connection::SimpleConnection as _;

use crate::compare::Way;
use crate::data::Data;
use crate::options::Options;
use crate::ours::Sweep;

/// Removes everything that is not barred, so that the sweep lasts long enough.
const UP_TO_THE_END: &str = "2026-02-28 00:00:00";

/// Operations per second: below the capacity of the databases on two cores with each commit on disk.
fn rate(backend: Backend) -> f64 {
    if backend == Backend::Sqlite { 100.0 } else { 400.0 }
}

/// No sweep; a sweep with the default pace, with a fixed large chunk size, and with a gentle pace.
const SWEEPS: [Option<&str>; 4] =
    [None, Some(""), Some("--chunk-size 100000"), Some("--target-chunk 20ms --sleep-ratio 3")];

/// Operations due in the first seconds are not counted: connections and caches are cold.
const WARM_UP: Duration = Duration::from_secs(2);

/// Connections of the load.
const CONNECTIONS: usize = 8;

pub(crate) fn measure(options: &Options, data: &Data) {
    let backend = data.backend;
    let removable = data.removable(UP_TO_THE_END);
    let mut seen: [[Vec<f64>; 4]; SWEEPS.len()] = Default::default();
    for _ in 0..options.runs() {
        for (flags, seen) in SWEEPS.iter().zip(&mut seen) {
            let db = data.fresh();
            let (latencies, deadlocks) = match flags {
                None => load(&db, data.rows, || thread::sleep(options.open_end_duration())),
                Some(flags) => load(&db, data.rows, || {
                    Sweep::begin(&db, UP_TO_THE_END, flags).end(&db, removable);
                }),
            };
            let (left, archived) = big::counts(&mut db.connect());
            let removed = if flags.is_some() { removable } else { 0 };
            assert_eq!((left, archived), (data.rows - removed, removed), "the load deletes what it inserts");
            let [p50, p99] = [0.5, 0.99].map(|share| percentile(&latencies, share));
            let most = latencies.iter().copied().fold(0.0, f64::max);
            for (values, value) in seen.iter_mut().zip([p50, p99, most, crate::float(deadlocks)]) {
                values.push(value);
            }
        }
    }
    println!("### {backend}: foreground latency during a sweep, {} operations/s\n", rate(backend));
    let mut table = Table::new(["Sweep", "p50", "p99", "p99 vs idle", "max", "deadlock retries"]);
    for (flags, values) in SWEEPS.iter().zip(&seen) {
        let name = flags.map_or_else(|| "idle (no sweep)".to_owned(), |flags| Way::Sweep(flags).name());
        let ratios: Vec<f64> = values[1].iter().zip(&seen[0][1]).map(|(one, idle)| one / idle).collect();
        let ms = |values: &[f64]| format!("{:.1} ms", median(values));
        let deadlocks = format!("{:.0}", values[3].iter().sum::<f64>());
        table.row([name, ms(&values[0]), ms(&values[1]), spread(&ratios), ms(&values[2]), deadlocks]);
    }
    println!("{table}");
}

/// Runs the load during the warm-up and while `meanwhile` runs, and completes the last round. Returns the latencies of
/// the operations due during `meanwhile`, in milliseconds, and the number of deadlocks.
fn load(db: &TestDatabase, rows: i64, meanwhile: impl FnOnce()) -> (Vec<f64>, i64) {
    let every = Duration::from_secs_f64(1.0 / rate(db.backend()));
    let (next, over, deadlocks) = (AtomicI64::new(0), AtomicBool::new(false), AtomicI64::new(0));
    let connections: Vec<AnyConnection> = (0..CONNECTIONS).map(|_| connect(db)).collect();
    let begun = Instant::now();
    let latencies = thread::scope(|scope| {
        let workers: Vec<_> = connections
            .into_iter()
            .map(|conn| {
                scope.spawn(|| {
                    let mut conn = conn;
                    let mut latencies = Vec::new();
                    while !over.load(Ordering::Relaxed) {
                        // The four steps of a round: insert a number, two reads, delete it.
                        let round = next.fetch_add(1, Ordering::Relaxed);
                        for step in 0..4 {
                            let due = every * u32::try_from(4 * round + step).expect("operations");
                            thread::sleep((begun + due).saturating_duration_since(Instant::now()));
                            let sql = operation(step, rows, round);
                            execute(&mut conn, &sql, &deadlocks);
                            latencies.push((due, begun.elapsed().saturating_sub(due).as_secs_f64() * 1000.0));
                        }
                    }
                    latencies
                })
            })
            .collect();
        thread::sleep(WARM_UP);
        let from = begun.elapsed();
        meanwhile();
        let counts = from..begun.elapsed();
        over.store(true, Ordering::Relaxed);
        let all = workers.into_iter().flat_map(|worker| worker.join().expect("the load"));
        all.filter(|(due, _)| counts.contains(due)).map(|(_, latency)| latency).collect()
    });
    (latencies, deadlocks.into_inner())
}

/// Retries after a deadlock, as every program on MariaDB must. The retry is part of the latency.
fn execute(conn: &mut AnyConnection, sql: &str, deadlocks: &AtomicI64) {
    while let Err(error) = conn.batch_execute(sql) {
        assert!(error.to_string().contains("Deadlock"), "{sql}: {error}");
        deadlocks.fetch_add(1, Ordering::Relaxed);
    }
}

fn connect(db: &TestDatabase) -> AnyConnection {
    let mut conn = db.connect();
    if conn.backend() == Backend::Sqlite {
        conn.batch_execute("PRAGMA synchronous = FULL").expect("configures a connection");
    }
    conn
}

/// The sweep does not remove the numbers that the load inserts: they have no recycle time. The second read is of a
/// number that the sweep may remove.
fn operation(step: i64, rows: i64, round: i64) -> String {
    let (campaign, id) = (1 + round % 2, rows + 1 + round);
    let key = format!("WHERE campaign_id = {campaign} AND id = {id}");
    match step {
        0 => format!(
            "INSERT INTO call_data (campaign_id, id, session_id, called, priority, status, created_at, updated_at)
             VALUES ({campaign}, {id}, 's{id}', '1390{id}', 3, 0, '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
        ),
        1 => format!("SELECT * FROM call_data {key}"),
        2 => {
            let other = (round * 7919) % rows + 1;
            format!("SELECT * FROM call_data WHERE campaign_id = {campaign} AND session_id = 's{other}'")
        }
        _ => format!("DELETE FROM call_data {key}"),
    }
}
