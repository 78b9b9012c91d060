//! Throughput and latency of the endpoint, compared with alternatives: the table in `docs/benchmarks.md`.
//!
//!     cargo bench -p callsweep-api --features postgres,mysql --bench endpoint
//!
//! The systems run in turns, on the same numbers, and after each run the contents of the tables are checked.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table goes to stdout, progress to stderr")]

mod callgrind;
mod data;
mod ours;
mod peers;
mod pgbench;
mod postgres;
mod process;
mod refused;
mod report;
mod requests;
mod sqlite;
mod turns;
mod wrk;

use std::process::ExitCode;

use callsweep_testkit::make_durable;
use clap::{Parser, ValueEnum};

use crate::process::Failure;
use crate::report::Report;

/// Measures the endpoint and its peers, and prints a Markdown table.
#[derive(Debug, Parser)]
struct Options {
    /// Little data and one short run of each: checks that everything works. The figures mean nothing.
    #[arg(long)]
    small: bool,
    /// Measure only these parts
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::value_variants().to_vec())]
    only: Vec<Part>,
    /// Fail if a peer is not installed
    #[arg(long)]
    require_peers: bool,
    /// Execute only the code that Callgrind measures
    #[arg(long, value_enum, requires = "calls", hide = true)]
    work: Option<callgrind::Work>,
    /// Number of calls for --work
    #[arg(long, hide = true)]
    calls: Option<u32>,
    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// On PostgreSQL, compared with pgbench
    Postgres,
    /// On PostgreSQL, compared with the endpoint in other frameworks
    Peers,
    /// On SQLite, compared with the same work without HTTP
    Sqlite,
    /// Refused requests, compared with an echo handler
    Refused,
    /// Instructions to verify a signature and to parse a body
    Callgrind,
}

/// Size of a benchmark.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// Numbers in both campaigns together.
    numbers: i64,
    /// Runs of each system.
    runs: usize,
    /// Seconds of load before the measurement.
    warm_up: i64,
    /// Measured seconds.
    seconds: i64,
    /// Prepared requests per second of load: above any throughput that is reached.
    ceiling: i64,
}

const FULL: Size = Size { numbers: 1_000_000, runs: 5, warm_up: 1, seconds: 5, ceiling: 20_000 };
const SMALL: Size = Size { numbers: 50_000, runs: 1, warm_up: 1, seconds: 1, ceiling: 20_000 };

fn main() -> ExitCode {
    let options = Options::parse();
    // `cargo test --benches` runs this program without --bench: nothing to do, a test asserts no speed.
    if !options.bench {
        return ExitCode::SUCCESS;
    }
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("endpoint: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Failure> {
    if let (Some(work), Some(calls)) = (options.work, options.calls) {
        return callgrind::work(work, calls);
    }
    make_durable();
    let size = if options.small { SMALL } else { FULL };
    let wants = |part: Part| options.only.contains(&part);
    let mut report = Report::new(size);
    if wants(Part::Postgres) || wants(Part::Peers) {
        postgres::measure(size, wants(Part::Postgres), wants(Part::Peers), &mut report)?;
    }
    if wants(Part::Sqlite) {
        sqlite::measure(size, &mut report)?;
    }
    if wants(Part::Refused) {
        refused::measure(size, &mut report)?;
    }
    if wants(Part::Callgrind) {
        callgrind::measure(&mut report)?;
    }
    print!("{report}");
    match report.missing() {
        [] => Ok(()),
        missing if options.require_peers => Err(missing.join("; ").into()),
        _ => Ok(()),
    }
}
