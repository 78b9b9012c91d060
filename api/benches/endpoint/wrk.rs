//! wrk, which sends requests over 64 connections and says how fast they were answered.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Failure, output, version};

/// Clients at the same time, of everybody who is compared.
pub(crate) const CLIENTS: i64 = 64;
/// Threads of the load generator.
pub(crate) const THREADS: i64 = 2;

/// What to do where it is missing.
pub(crate) const MISSING: &str = "wrk is not installed: apt-get install wrk";

/// The version of wrk, where it is installed.
pub(crate) fn installed() -> Option<String> {
    // "wrk 4.1.0 [epoll] Copyright …"
    version("wrk", "-v").and_then(|line| Some(line.split_once(" [")?.0.to_owned()))
}

/// What wrk saw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Answers {
    /// Requests with an answer.
    pub(crate) answered: i64,
    /// Of these, answers of a status above 399.
    pub(crate) not_2xx: i64,
    /// Answers a second.
    pub(crate) rate: f64,
    /// Within this time 99 of 100 answers were there, in milliseconds.
    pub(crate) p99_ms: f64,
}

/// Sends the requests of a file for so many seconds.
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
    let result = |name: &str| results.get(name).copied().ok_or_else(|| format!("wrk did not tell {name}: {said}"));
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

/// A count as a number to divide.
#[allow(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(crate) fn real(count: i64) -> f64 {
    count as f64
}
