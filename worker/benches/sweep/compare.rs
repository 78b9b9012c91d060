//! Several ways to do the same work, measured in turns.

use std::time::Instant;

use callsweep_core::store::Backend;
use callsweep_testkit::TestDatabase;
use callsweep_testkit::measure::{Table, median, spread, thousands};

use crate::data::{Data, check};
use crate::{float, limit, ours, purge};

type PeerRun<'a> = Box<dyn Fn(&TestDatabase) -> (i64, f64) + 'a>;

/// A way to do the work.
pub(crate) enum Way<'a> {
    /// A single transaction, by hand: the baseline.
    OneTransaction,
    /// Two parallel transactions, by hand, one for each campaign.
    TwoTransactions,
    /// A sweep with these flags.
    Sweep(&'a str),
    /// Another program. Returns how many numbers it moved, and in how many seconds.
    Peer(&'a str, PeerRun<'a>),
}

/// The results of one run.
pub(crate) struct Seen {
    /// Rows per second, from the start of the process to its end.
    pub(crate) speed: f64,
    /// Rows per second of the run alone.
    pub(crate) run_speed: f64,
    /// Rows per second until MariaDB has also purged them.
    purged_speed: Option<f64>,
    pub(crate) slowest_chunk_ms: Option<f64>,
    pub(crate) peak_mib: Option<f64>,
}

impl Way<'_> {
    pub(crate) fn name(&self) -> String {
        match self {
            Self::OneTransaction => "single transaction (baseline)".to_owned(),
            Self::TwoTransactions => "two transactions in parallel, one per campaign".to_owned(),
            Self::Sweep("") => "`sweep`".to_owned(),
            Self::Sweep(flags) => format!("`sweep {flags}`"),
            Self::Peer(name, _) => format!("`{name}`"),
        }
    }

    /// Does the work once, on a fresh copy of the data, and checks the result.
    pub(crate) fn run(&self, data: &Data, upto: &str, removable: i64) -> Seen {
        let db = data.fresh();
        let by_hand = |seconds| (removable, seconds, seconds, None, None);
        let begun = Instant::now();
        let (done, seconds, run_seconds, slowest_chunk_ms, peak_mib) = match self {
            Self::OneTransaction => by_hand(limit::archive(&db, upto)),
            Self::TwoTransactions => by_hand(limit::archive_side_by_side(&db, upto)),
            Self::Sweep(flags) => {
                let swept = ours::sweep(&db, upto, flags, removable);
                (removable, swept.seconds, swept.run_seconds, Some(swept.slowest_chunk_ms), Some(swept.peak_mib))
            }
            Self::Peer(_, run) => {
                let (done, seconds) = run(&db);
                (done, seconds, seconds, None, None)
            }
        };
        let purged_speed = (data.backend == Backend::Mysql).then(|| {
            purge::wait_for(&mut db.connect());
            float(done) / begun.elapsed().as_secs_f64()
        });
        check(&db, data.rows, done);
        let (speed, run_speed) = (float(done) / seconds, float(done) / run_seconds);
        Seen { speed, run_speed, purged_speed, slowest_chunk_ms, peak_mib }
    }
}

/// Runs the ways in turns, starting each turn with another one. Returns the results in the order of the ways.
pub(crate) fn take_turns(data: &Data, upto: &str, ways: &[Way<'_>], runs: usize) -> Vec<Vec<Seen>> {
    let removable = data.removable(upto);
    let mut seen: Vec<Vec<Seen>> = ways.iter().map(|_| Vec::new()).collect();
    for run in 0..runs {
        for turn in 0..ways.len() {
            let way = (run + turn) % ways.len();
            seen[way].push(ways[way].run(data, upto, removable));
        }
    }
    seen
}

/// The throughput ratio of each run to the run of `base` in the same turn.
pub(crate) fn ratios(seen: &[Seen], base: &[Seen], speed: impl Fn(&Seen) -> f64) -> Vec<f64> {
    seen.iter().zip(base).map(|(one, base)| speed(one) / base.speed).collect()
}

/// Runs the ways in turns, and prints the table.
pub(crate) fn compare(data: &Data, upto: &str, ways: &[Way<'_>], runs: usize) {
    let seen = take_turns(data, upto, ways, runs);
    println!("{}", table(&ways.iter().zip(seen.iter().map(Vec::as_slice)).collect::<Vec<_>>()));
}

/// The table of the results. Ratios are against the first way.
pub(crate) fn table(ways: &[(&Way<'_>, &[Seen])]) -> Table {
    let mut table = Table::new([
        "System",
        "rows/s",
        "throughput ratio",
        "ratio of the run alone",
        "ratio until purged",
        "slowest chunk",
    ]);
    for (way, runs) in ways {
        let speeds: Vec<f64> = runs.iter().map(|run| run.speed).collect();
        let purged: Option<Vec<f64>> =
            runs.iter().zip(ways[0].1).map(|(run, first)| Some(run.purged_speed? / first.purged_speed?)).collect();
        let slowest: Option<Vec<f64>> = runs.iter().map(|run| run.slowest_chunk_ms).collect();
        table.row([
            way.name(),
            thousands(median(&speeds)),
            spread(&ratios(runs, ways[0].1, |run| run.speed)),
            format!("{:.2}", median(&ratios(runs, ways[0].1, |run| run.run_speed))),
            purged.map_or_else(String::new, |ratios| spread(&ratios)),
            slowest.map_or_else(String::new, |ms| format!("{:.0} ms", ms.iter().copied().fold(0.0, f64::max))),
        ]);
    }
    table
}
