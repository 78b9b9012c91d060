//! Throughput and memory with a table ten times as large, on PostgreSQL.

use callsweep_core::store::Backend;
use callsweep_testkit::big::UP_TO_A_QUARTER;
use callsweep_testkit::measure::{Table, median, spread, thousands};

use crate::compare::{Seen, Way, ratios};
use crate::data::Data;
use crate::float;
use crate::options::Options;

pub(crate) fn measure(options: &Options) {
    println!("### {}: ten times as many numbers\n", Backend::Postgres);
    let sizes = [options.rows(), 10 * options.rows()].map(|rows| Data::load(Backend::Postgres, rows));
    let removable = sizes.each_ref().map(|data| data.removable(UP_TO_A_QUARTER));
    let mut seen: [Vec<Seen>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..options.runs() {
        for ((data, removable), seen) in sizes.iter().zip(removable).zip(&mut seen) {
            seen.push(Way::Sweep("").run(data, UP_TO_A_QUARTER, removable));
        }
    }
    let mut table = Table::new(["numbers", "archived", "rows/s", "throughput ratio", "peak resident memory"]);
    for ((data, removable), runs) in sizes.iter().zip(removable).zip(&seen) {
        let speeds: Vec<f64> = runs.iter().map(|run| run.speed).collect();
        let peak = runs.iter().filter_map(|run| run.peak_mib).fold(0.0, f64::max);
        table.row([
            thousands(float(data.rows)),
            thousands(float(removable)),
            thousands(median(&speeds)),
            spread(&ratios(runs, &seen[0], |run| run.speed)),
            format!("{peak:.0} MiB"),
        ]);
    }
    println!("{table}");
}
