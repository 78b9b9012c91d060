//! Throughput and latency of sweeps: prints the tables of docs/benchmarks.md.
//!
//! ```text
//! cargo bench -p callsweep-worker --features postgres,mysql --bench sweep
//! cargo bench -p callsweep-worker --features postgres,mysql --bench sweep -- --small
//! ```
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark: it prints tables, and panics if the work was not done"
)]

mod compare;
mod data;
mod evenness;
mod foreground;
mod growth;
mod limit;
mod options;
mod ours;
mod pt_archiver;
mod purge;
mod sparse;
mod throughput;

use std::cell::LazyCell;

use callsweep_core::store::Backend;
use callsweep_testkit::{TestDatabase, make_durable, measure};
use clap::Parser as _;

use data::Data;
use options::{Options, Part};

fn main() {
    let options = Options::parse();
    make_durable();
    println!("Machine: {}\n", measure::machine());
    let versions = options.backends().map(|backend| measure::version(&mut TestDatabase::empty(backend).connect()));
    println!("Versions: {}\n", versions.collect::<Vec<_>>().join(", "));
    println!("{} numbers, {} runs of each.\n", measure::thousands(float(options.rows())), options.runs());
    for backend in options.backends() {
        let data = LazyCell::new(|| Data::load(backend, options.rows()));
        if options.wants(Part::Of(backend)) {
            throughput::measure(&options, &data);
        }
        if backend == Backend::Mysql && options.wants(Part::PtArchiver) {
            pt_archiver::measure(&options, &data);
        }
        if options.wants(Part::Even) {
            evenness::measure(&options, &data);
        }
        if options.wants(Part::Sparse) {
            sparse::measure(&options, &data);
        }
        if options.wants(Part::Foreground) {
            foreground::measure(&options, &data);
        }
    }
    if options.wants(Part::Growth) {
        growth::measure(&options);
    }
}

/// Converts a count to a floating-point number.
#[allow(clippy::cast_precision_loss, reason = "rows that fit on a disk")]
fn float(count: i64) -> f64 {
    count as f64
}
