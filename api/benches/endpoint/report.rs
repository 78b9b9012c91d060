//! The table, in Markdown.

use std::fmt;

use callsweep_testkit::measure::{self, Table, median, spread, thousands};

use crate::Size;
use crate::process::Failure;
use crate::turns::Measured;

/// What a comparison is to come to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    /// So many times as fast, or faster.
    RateAtLeast(f64),
    /// Its p99 at most so many times as long.
    P99AtMost(f64),
}

/// Two contenders, side by side.
pub(crate) struct Comparison {
    what: &'static str,
    beside: &'static str,
    goals: Vec<Goal>,
}

impl Comparison {
    pub(crate) fn new(what: &'static str, beside: &'static str, goals: &[Goal]) -> Self {
        Self { what, beside, goals: goals.to_vec() }
    }
}

/// What was measured, and what was not.
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

    /// Names a program that took part.
    pub(crate) fn version(&mut self, version: String) {
        self.versions.push(version);
    }

    /// Says that something could not be measured, and what to do about it.
    pub(crate) fn miss(&mut self, missing: String) {
        self.missing.push(missing);
    }

    /// The same, unless the program that it takes has a version.
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
            self.rates.push(row(&comparison.goals, of(comparison.what)?, of(comparison.beside)?));
        }
        Ok(())
    }

    /// Adds what Callgrind counted.
    pub(crate) fn instructions(&mut self, of: &str, count: u64) {
        self.instructions.push([of.to_owned(), count.to_string()]);
    }
}

/// Ratios are those of each turn: what was slow then was slow for both.
fn row(goals: &[Goal], what: &Measured, beside: &Measured) -> [String; 9] {
    let ratios = |what: &[f64], beside: &[f64]| -> Vec<f64> { what.iter().zip(beside).map(|(a, b)| a / b).collect() };
    let (rates, p99s) = (ratios(&what.rates, &beside.rates), ratios(&what.p99s_ms, &beside.p99s_ms));
    let verdict = |goal: &Goal| match *goal {
        Goal::RateAtLeast(least) => verdict(median(&rates) >= least, &format!("rate ≥ {least}")),
        Goal::P99AtMost(most) => verdict(median(&p99s) <= most, &format!("p99 ≤ {most}")),
    };
    let goals: Vec<String> = goals.iter().map(verdict).collect();
    let scale =
        |measured: &Measured| (thousands(median(&measured.rates)), format!("{:.1} ms", median(&measured.p99s_ms)));
    let ((rate, p99), (rate_beside, p99_beside)) = (scale(what), scale(beside));
    let (what, beside) = (what.name.to_owned(), beside.name.to_owned());
    [what, rate, p99, beside, rate_beside, p99_beside, spread(&rates), spread(&p99s), goals.join(", ")]
}

fn verdict(met: bool, goal: &str) -> String {
    format!("{goal}: {}", if met { "met" } else { "missed" })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, versions, rates, instructions, missing } = self;
        writeln!(f, "{}; {}.", measure::machine(), versions.join(", "))?;
        writeln!(f, "Medians of {} runs of {} s, on {} numbers.\n", size.runs, size.seconds, size.numbers)?;
        let columns = ["what", "a second", "p99", "beside", "a second", "p99", "rate", "p99", "goal"];
        write_table(f, columns, rates)?;
        write_table(f, ["once", "instructions"], instructions)?;
        missing.iter().try_for_each(|missing| writeln!(f, "Not measured: {missing}."))
    }
}

/// Nothing where there is no row.
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
