//! What the endpoint costs, beside what people would use instead of it: the table in `docs/benchmarks.md`.
//!
//!     cargo bench -p callsweep-api --features postgres,mysql --bench endpoint
//!
//! Whoever is compared takes turns with the others, on the same numbers, and after each run the tables are counted.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the table goes to stdout, what goes on to stderr")]

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

/// Measures the endpoint beside its peers and prints a Markdown table.
#[derive(Debug, Parser)]
struct Options {
    /// Small data and one short run each: that it works, not how fast. The table's figures mean nothing then.
    #[arg(long)]
    small: bool,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Part::value_variants().to_vec())]
    only: Vec<Part>,
    /// A peer that is not installed is an error
    #[arg(long)]
    require_peers: bool,
    /// What Callgrind counts: so many calls of it, and nothing else
    #[arg(long, value_enum, requires = "calls", hide = true)]
    work: Option<callgrind::Work>,
    /// See `work`
    #[arg(long, hide = true)]
    calls: Option<u32>,
    /// What Cargo calls a benchmark with
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// On PostgreSQL beside pgbench
    Postgres,
    /// On PostgreSQL beside the endpoint in other frameworks
    Peers,
    /// On SQLite beside the same work without HTTP
    Sqlite,
    /// Requests that are refused, beside a handler that echoes
    Refused,
    /// Instructions of a signature and of a body
    Callgrind,
}

/// How much of it.
#[derive(Debug, Clone, Copy)]
struct Size {
    /// Numbers of both campaigns.
    numbers: i64,
    /// Turns of each.
    runs: usize,
    /// Seconds of load before a run is measured.
    warm_up: i64,
    /// Seconds that are measured.
    seconds: i64,
    /// Requests a second that nobody reaches: so many are made.
    ceiling: i64,
}

const FULL: Size = Size { numbers: 1_000_000, runs: 5, warm_up: 1, seconds: 5, ceiling: 20_000 };
const SMALL: Size = Size { numbers: 50_000, runs: 1, warm_up: 1, seconds: 1, ceiling: 20_000 };

fn main() -> ExitCode {
    let options = Options::parse();
    // `cargo test --benches` runs it too, without the word: a test asserts no speed.
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
