//! The output of benchmarks: medians, percentiles and the tables of `docs/benchmarks.md`.

use std::fmt;
use std::fs;

use diesel::prelude::*;
use diesel::sql_types::Text;

use callsweep_core::store::{AnyConnection, Backend};

/// The median: the middle value, or the mean of the two middle values.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => f64::NAN,
        even if even % 2 == 0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    }
}

/// The value below which this share of the values lies, by the nearest rank: `percentile(&latencies, 0.99)`.
#[must_use]
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank among values that fit in memory"
)]
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// The median with the lowest and highest value.
#[must_use]
pub fn spread(values: &[f64]) -> String {
    let (lowest, highest) = values.iter().fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(*v), high.max(*v)));
    let number = |value: f64| if value < 100.0 { format!("{value:.2}") } else { thousands(value) };
    format!("{} ({}–{})", number(median(values)), number(lowest), number(highest))
}

/// `1,234,567`
#[must_use]
pub fn thousands(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    format!("{}{}", if value < 0.0 { "-" } else { "" }, groups.join(","))
}

/// A table in Markdown.
#[derive(Debug)]
pub struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new<const N: usize>(columns: [&str; N]) -> Self {
        Self { columns: columns.map(ToOwned::to_owned).into(), rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Panics
    /// If the number of cells is not the number of columns.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        assert_eq!(N, self.columns.len(), "cells for columns");
        self.rows.push(cells.into());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |cells: &[String]| format!("| {} |", cells.join(" | "));
        writeln!(f, "{}", line(&self.columns))?;
        writeln!(f, "|{}", "---|".repeat(self.columns.len()))?;
        self.rows.iter().try_for_each(|row| writeln!(f, "{}", line(row)))
    }
}

/// The product and version, as the server reports them.
#[must_use]
pub fn version(conn: &mut AnyConnection) -> String {
    #[derive(QueryableByName)]
    struct Version {
        #[diesel(sql_type = Text)]
        version: String,
    }
    let backend = conn.backend();
    let sql = match backend {
        Backend::Sqlite => "SELECT sqlite_version() AS version",
        Backend::Postgres => "SELECT current_setting('server_version') AS version",
        Backend::Mysql => "SELECT version() AS version",
    };
    let read: Version = diesel::sql_query(sql).get_result(conn).expect("reads the version");
    let product = match backend {
        Backend::Mysql if read.version.contains("MariaDB") => "MariaDB".to_owned(),
        Backend::Mysql => "MySQL".to_owned(),
        other => other.to_string(),
    };
    format!("{product} {}", read.version.split(['-', ' ']).next().unwrap_or_default())
}

/// The machine: processor, cores that this process may use, memory, system.
#[must_use]
pub fn machine() -> String {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let processor = field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let memory = field(&read("/proc/meminfo"), "MemTotal").and_then(|kib| kib.split(' ').next()?.parse::<u64>().ok());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let system = read("/proc/sys/kernel/osrelease");
    format!("{processor}, {cores} cores, {} GiB, Linux {}", memory.unwrap_or(0) / 1024 / 1024, system.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_found_in_any_order() {
        assert_eq!(
            (median(&[3.0, 1.0, 2.0]).to_bits(), median(&[4.0, 1.0]).to_bits()),
            (2f64.to_bits(), 2.5f64.to_bits())
        );
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(percentile(&hundred, 0.99).to_bits(), 99f64.to_bits());
    }

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new(["a", "b"]);
        table.row(["1".to_owned(), thousands(1_234_567.0)]);
        assert_eq!(table.to_string(), "| a | b |\n|---|---|\n| 1 | 1,234,567 |\n");
        assert_eq!(spread(&[1.0, 3.0, 2.0]), "2.00 (1.00–3.00)");
    }
}
