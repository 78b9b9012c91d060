//! What others feel of a sweep: targeted reads, inserts and deletes at a fixed rate, alone and beside it.
//!
//! Each operation is due at a time that was fixed before, and its latency counts from then on, not from when a connection
//! was free for it: otherwise the slow ones would hide those that waited behind them.

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

/// Takes everything that no rule bars: a sweep that is long enough to be felt.
const UP_TO_THE_END: &str = "2026-02-28 00:00:00";

/// Operations a second, below what the databases do on two cores with a commit on disk each.
fn rate(backend: Backend) -> f64 {
    if backend == Backend::Sqlite { 100.0 } else { 400.0 }
}

/// Nothing beside it; a sweep with the default pace, with none, and with a gentle one.
const SWEEPS: [Option<&str>; 4] =
    [None, Some(""), Some("--chunk-size 100000"), Some("--target-chunk 20ms --sleep-ratio 3")];

/// What is due in the first seconds does not count: connections and caches are cold.
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
                None => load(&db, data.rows, || thread::sleep(options.while_long())),
                Some(flags) => load(&db, data.rows, || {
                    Sweep::begin(&db, UP_TO_THE_END, flags).end(&db, removable);
                }),
            };
            let (left, archived) = big::counts(&mut db.connect());
            let removed = if flags.is_some() { removable } else { 0 };
            assert_eq!((left, archived), (data.rows - removed, removed), "the load takes out what it brings in");
            let [p50, p99] = [0.5, 0.99].map(|share| percentile(&latencies, share));
            let most = latencies.iter().copied().fold(0.0, f64::max);
            for (values, value) in seen.iter_mut().zip([p50, p99, most, crate::float(deadlocks)]) {
                values.push(value);
            }
        }
    }
    println!("### {backend}: {} reads, inserts and deletes a second beside a sweep of all\n", rate(backend));
    let mut table = Table::new(["", "half within", "99 % within", "times alone", "all within", "lost deadlocks"]);
    for (flags, values) in SWEEPS.iter().zip(&seen) {
        let name = flags.map_or_else(|| "alone".to_owned(), |flags| Way::Sweep(flags).name());
        let ratios: Vec<f64> = values[1].iter().zip(&seen[0][1]).map(|(one, alone)| one / alone).collect();
        let ms = |values: &[f64]| format!("{:.1} ms", median(values));
        let deadlocks = format!("{:.0}", values[3].iter().sum::<f64>());
        table.row([name, ms(&values[0]), ms(&values[1]), spread(&ratios), ms(&values[2]), deadlocks]);
    }
    println!("{table}");
}

/// Works at the fixed rate for a while, then as long as `meanwhile` takes, and a whole round to the end. The latencies of
/// what was due meanwhile, in milliseconds, and how often an operation lost a deadlock.
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
                        // The four of a round: a number comes in, is read twice, and is taken out.
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

/// As every program on MariaDB must: who loses a deadlock tries again. That is part of its latency.
fn execute(conn: &mut AnyConnection, sql: &str, deadlocks: &AtomicI64) {
    while let Err(error) = conn.batch_execute(sql) {
        assert!(error.to_string().contains("Deadlock"), "{sql}: {error}");
        deadlocks.fetch_add(1, Ordering::Relaxed);
    }
}

fn connect(db: &TestDatabase) -> AnyConnection {
    let mut conn = db.connect();
    if conn.backend() == Backend::Sqlite {
        conn.batch_execute("PRAGMA synchronous = FULL").expect("sets a connection up");
    }
    conn
}

/// Numbers of the load are none of the sweep's: they have no recycle time. Those that it reads are the sweep's.
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
