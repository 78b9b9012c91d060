//! pgbench: the same SQL from 64 clients, without HTTP.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use callsweep_testkit::measure::percentile;

use crate::Size;
use crate::data::{Data, STEP, Work};
use crate::process::{Failure, output, version};
use crate::turns::Run;
use crate::wrk::{CLIENTS, THREADS};

/// Message if pgbench is missing.
pub(crate) const MISSING: &str = "pgbench is not installed: apt-get install postgresql-contrib";

/// The version of pgbench. `None` if it is not installed.
pub(crate) fn installed() -> Option<String> {
    version("pgbench", "--version")
}

/// Runs a script of `peers/`: once as warm-up, once measured.
pub(crate) fn run(script: &str, ledger: bool, size: Size, data: Data, url: &str, dir: &Path) -> Result<Run, Failure> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/endpoint/peers").join(script);
    let start = |first: i64, seconds: i64, prefix: &str| {
        let mut pgbench = Command::new("pgbench");
        pgbench.current_dir(dir).args(["--no-vacuum", "--protocol=prepared", "--log"]);
        pgbench.args([format!("--client={CLIENTS}"), format!("--jobs={THREADS}"), format!("--time={seconds}")]);
        pgbench.arg(format!("--log-prefix={prefix}"));
        let variables = [
            ("n", -1),
            ("first", first),
            ("clients", CLIENTS),
            ("step", STEP),
            ("removable", data.removable()),
            ("numbers", data.numbers),
        ];
        for (name, value) in variables {
            pgbench.arg(format!("--define={name}={value}"));
        }
        let (said, _) = output(pgbench.arg("--file").arg(&script).arg(url))?;
        Said::read(&said)
    };
    let warm_up = start(0, size.warm_up, "warm")?;
    let measured = start(size.warm_up * size.ceiling, size.seconds, "measured")?;
    let work = Work { answered: warm_up.transactions + measured.transactions, in_flight: 0, ledger };
    let p99_ms = percentile(&latencies(dir, "measured")?, 0.99);
    latencies(dir, "warm")?;
    Ok(Run { rate: measured.rate, p99_ms, work })
}

struct Said {
    transactions: i64,
    rate: f64,
}

impl Said {
    fn read(said: &str) -> Result<Self, Failure> {
        let after = |words: &str| {
            let value = said.lines().find_map(|line| line.strip_prefix(words)?.split([' ', '/']).next());
            value.ok_or_else(|| format!("no {words:?} in the output of pgbench: {said}"))
        };
        if after("number of failed transactions: ")? != "0" {
            return Err(format!("transactions failed: {said}").into());
        }
        let transactions = after("number of transactions actually processed: ")?.parse()?;
        Ok(Self { transactions, rate: after("tps = ")?.parse()? })
    }
}

/// Latency of each transaction in milliseconds, from the third column of pgbench's log (in microseconds). The log has
/// one file per thread. Removes the files.
fn latencies(dir: &Path, prefix: &str) -> Result<Vec<f64>, Failure> {
    let mut all = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(&format!("{prefix}.")) {
            continue;
        }
        for line in fs::read_to_string(entry.path())?.lines() {
            let micros = line.split(' ').nth(2).and_then(|column| column.parse::<f64>().ok());
            all.push(micros.ok_or_else(|| format!("pgbench logged {line:?}"))? / 1e3);
        }
        fs::remove_file(entry.path())?;
    }
    Ok(all)
}
