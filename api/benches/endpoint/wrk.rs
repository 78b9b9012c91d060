//! wrk, the load generator: sends requests over 64 connections and measures throughput and latency.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Failure, output, version};

/// Concurrent clients of every system.
pub(crate) const CLIENTS: i64 = 64;
/// Threads of the load generator.
pub(crate) const THREADS: i64 = 2;

/// Message if wrk is missing.
pub(crate) const MISSING: &str = "wrk is not installed: apt-get install wrk";

/// The version of wrk. `None` if it is not installed.
pub(crate) fn installed() -> Option<String> {
    // "wrk 4.1.0 [epoll] Copyright …"
    version("wrk", "-v").and_then(|line| Some(line.split_once(" [")?.0.to_owned()))
}

/// The measurements of wrk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answers {
    /// Answered requests.
    pub(crate) answered: i64,
    /// Of these, answers with a status above 399.
    pub(crate) not_2xx: i64,
    /// Answers per second.
    pub(crate) rate: f64,
    /// The 99th percentile of the latency, in milliseconds.
    pub(crate) p99_ms: f64,
}

/// Sends the requests of a file for this many seconds.
pub(crate) fn drive(address: SocketAddr, requests: &Path, seconds: i64) -> Result<Answers, Failure> {
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/endpoint/wrk.lua");
    let mut wrk = Command::new("wrk");
    wrk.args([format!("-t{THREADS}"), format!("-c{CLIENTS}"), format!("-d{seconds}s"), "--timeout=30s".to_owned()]);
    wrk.arg("-s").arg(script).arg(format!("http://{address}/")).arg("--").arg(requests).arg(THREADS.to_string());
    let (said, _) = output(&mut wrk)?;
    let results: HashMap<&str, i64> = said
        .lines()
        .filter_map(|line| line.strip_prefix("result ")?.split_once(' '))
        .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
        .collect();
    let result =
        |name: &str| results.get(name).copied().ok_or_else(|| format!("no {name} in the output of wrk: {said}"));
    if result("broken")? > 0 {
        return Err(format!("connections broke: {said}").into());
    }
    if result("exhausted")? > 0 {
        return Err("the requests ran out before the time did: raise Size::ceiling".into());
    }
    let answered = result("answered")?;
    Ok(Answers {
        answered,
        not_2xx: result("not_2xx")?,
        rate: real(answered) * 1e6 / real(result("duration_us")?),
        p99_ms: real(result("p99_us")?) / 1e3,
    })
}

/// Converts a count to a floating-point number.
#[allow(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(crate) fn real(count: i64) -> f64 {
    count as f64
}
