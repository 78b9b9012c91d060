//! Options: what is measured, and the size.

use std::time::Duration;

use callsweep_core::store::Backend;
use clap::Parser;

/// The benchmarks of the sweeps
#[derive(Debug, Parser)]
pub(crate) struct Options {
    /// Everything once with little data: checks that the benchmark works. The figures mean nothing
    #[arg(long)]
    small: bool,

    /// Numbers in the table; the growth benchmark also uses ten times as many
    #[arg(long, value_name = "N")]
    rows: Option<i64>,

    /// Runs of each
    #[arg(long, value_name = "N")]
    runs: Option<usize>,

    /// Measure only these parts: postgres, mysql, sqlite (each against a single transaction), pt-archiver, even,
    /// sparse, foreground, growth
    #[arg(long, value_name = "PARTS", value_delimiter = ',', value_parser = Part::parse)]
    only: Vec<Part>,

    /// The databases to run on: sqlite, postgres, mysql
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = backend,
          default_values = ["postgres", "mysql", "sqlite"])]
    on: Vec<Backend>,

    /// Fail if a peer is not installed
    #[arg(long)]
    pub(crate) require_peers: bool,

    /// Passed by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// One backend against a single transaction.
    Of(Backend),
    PtArchiver,
    Even,
    Sparse,
    Foreground,
    /// Ten times as many numbers, and peak memory.
    Growth,
}

impl Part {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "pt-archiver" => Ok(Self::PtArchiver),
            "even" => Ok(Self::Even),
            "sparse" => Ok(Self::Sparse),
            "foreground" => Ok(Self::Foreground),
            "growth" | "memory" => Ok(Self::Growth),
            other => backend(other).map(Self::Of),
        }
    }
}

fn backend(text: &str) -> Result<Backend, String> {
    match text {
        "sqlite" => Ok(Backend::Sqlite),
        "postgres" => Ok(Backend::Postgres),
        "mysql" => Ok(Backend::Mysql),
        _ => Err("unknown name, see --help".to_owned()),
    }
}

impl Options {
    pub(crate) fn rows(&self) -> i64 {
        self.rows.unwrap_or(if self.small { 20_000 } else { 1_000_000 })
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs.unwrap_or(if self.small { 1 } else { 5 })
    }

    /// Duration of measurements that have no natural end.
    pub(crate) fn open_end_duration(&self) -> Duration {
        Duration::from_secs(if self.small { 1 } else { 15 })
    }

    pub(crate) fn backends(&self) -> impl Iterator<Item = Backend> {
        self.on.iter().copied()
    }

    pub(crate) fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }
}
