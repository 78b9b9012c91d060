//! The report: tables in Markdown.

use std::fmt;

use callsweep_testkit::measure::{self, Table, median, spread, thousands};

use crate::Size;
use crate::process::Failure;
use crate::turns::Measured;

/// The goal of a comparison.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// Throughput ratio at least this.
    RateAtLeast(f64),
    /// p99 ratio at most this.
    P99AtMost(f64),
}

/// The comparison of a system with its baseline.
pub(crate) struct Comparison {
    system: &'static str,
    baseline: &'static str,
    goals: Vec<Goal>,
}

impl Comparison {
    pub(crate) fn new(system: &'static str, baseline: &'static str, goals: &[Goal]) -> Self {
        Self { system, baseline, goals: goals.to_vec() }
    }
}

/// The results, and what could not be measured.
pub(crate) struct Report {
    size: Size,
    versions: Vec<String>,
    rates: Vec<[String; 9]>,
    instructions: Vec<[String; 2]>,
    missing: Vec<String>,
}

impl Report {
    pub(crate) fn new(size: Size) -> Self {
        Self { size, versions: Vec::new(), rates: Vec::new(), instructions: Vec::new(), missing: Vec::new() }
    }

    /// Adds the version of a program that took part.
    pub(crate) fn version(&mut self, version: String) {
        self.versions.push(version);
    }

    /// Records that something could not be measured, and what to do about it.
    pub(crate) fn miss(&mut self, missing: String) {
        self.missing.push(missing);
    }

    /// Records the version of a required program. If there is none, records `missing` and returns true.
    pub(crate) fn lacks(&mut self, part: &str, version: Option<String>, missing: &str) -> bool {
        let Some(version) = version else {
            self.miss(format!("{part}: {missing}"));
            return true;
        };
        if !self.versions.contains(&version) {
            self.version(version);
        }
        false
    }

    pub(crate) fn missing(&self) -> &[String] {
        &self.missing
    }

    /// Adds a row for each comparison.
    pub(crate) fn add(&mut self, comparisons: &[Comparison], measured: &[Measured]) -> Result<(), Failure> {
        let of = |name: &str| {
            measured.iter().find(|measured| measured.name == name).ok_or_else(|| format!("{name} was not measured"))
        };
        for comparison in comparisons {
            self.rates.push(row(&comparison.goals, of(comparison.system)?, of(comparison.baseline)?));
        }
        Ok(())
    }

    /// Adds a count of Callgrind.
    pub(crate) fn instructions(&mut self, of: &str, count: u64) {
        self.instructions.push([of.to_owned(), count.to_string()]);
    }
}

/// Ratios are computed for each turn, so that a slow phase of the machine affects both systems.
fn row(goals: &[Goal], system: &Measured, baseline: &Measured) -> [String; 9] {
    let ratios = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a / b).collect() };
    let (rates, p99s) = (ratios(&system.rates, &baseline.rates), ratios(&system.p99s_ms, &baseline.p99s_ms));
    let verdict = |goal: &Goal| match *goal {
        Goal::RateAtLeast(least) => verdict(median(&rates) >= least, &format!("throughput ≥ {least}")),
        Goal::P99AtMost(most) => verdict(median(&p99s) <= most, &format!("p99 ≤ {most}")),
    };
    let goals: Vec<String> = goals.iter().map(verdict).collect();
    let scale =
        |measured: &Measured| (thousands(median(&measured.rates)), format!("{:.1} ms", median(&measured.p99s_ms)));
    let ((rate, p99), (baseline_rate, baseline_p99)) = (scale(system), scale(baseline));
    let (system, baseline) = (system.name.to_owned(), baseline.name.to_owned());
    [system, rate, p99, baseline, baseline_rate, baseline_p99, spread(&rates), spread(&p99s), goals.join(", ")]
}

fn verdict(met: bool, goal: &str) -> String {
    format!("{goal}: {}", if met { "met" } else { "missed" })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, versions, rates, instructions, missing } = self;
        writeln!(f, "{}; {}.", measure::machine(), versions.join(", "))?;
        writeln!(f, "Medians of {} runs of {} s, on {} numbers.\n", size.runs, size.seconds, size.numbers)?;
        let columns = [
            "System",
            "req/s",
            "p99",
            "Baseline",
            "baseline req/s",
            "baseline p99",
            "throughput ratio",
            "p99 ratio",
            "goal",
        ];
        write_table(f, columns, rates)?;
        write_table(f, ["Operation", "instructions"], instructions)?;
        missing.iter().try_for_each(|missing| writeln!(f, "Not measured: {missing}."))
    }
}

/// Writes nothing if there are no rows.
fn write_table<const N: usize>(f: &mut fmt::Formatter<'_>, columns: [&str; N], rows: &[[String; N]]) -> fmt::Result {
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(columns);
    for row in rows {
        table.row(row.clone());
    }
    writeln!(f, "{table}")
}
