//! Instructions to verify a signature and to parse a body, counted by Callgrind: the same on every run.

use std::hint::black_box;
use std::process::Command;

use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use callsweep_api::auth::canonical::WireRequest;
use callsweep_api::auth::{self, Keys, Origin};
use callsweep_api::call::body::DeleteCall;
use callsweep_core::settings::{All, ApiSettings, KeySettings, Vdns};
use chrono::DateTime;
use clap::ValueEnum;
use secrecy::SecretString;

use crate::process::{Failure, output, version};
use crate::report::Report;
use crate::requests::{ACCESS_KEY, SECRET_KEY};

/// What is counted.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Work {
    /// Verify the signature of a request
    Signature,
    /// Parse its body
    Body,
}

/// Message if valgrind is missing.
const MISSING: &str = "valgrind is not installed: apt-get install valgrind";
/// Numbers of calls. The difference between their counts excludes the start and end of the process.
const CALLS: [u64; 2] = [100, 1_100];

/// Counts both, in child processes of this program.
pub(crate) fn measure(report: &mut Report) -> Result<(), Failure> {
    if report.lacks("instructions", version("valgrind", "--version"), MISSING) {
        return Ok(());
    }
    for (work, name) in [(Work::Signature, "verify a signature"), (Work::Body, "parse a body")] {
        let [few, many] = CALLS.map(|calls| instructions(work, calls));
        report.instructions(name, (many? - few?) / (CALLS[1] - CALLS[0]));
    }
    Ok(())
}

fn instructions(work: Work, calls: u64) -> Result<u64, Failure> {
    let work = work.to_possible_value().ok_or("it has a name")?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(std::env::current_exe()?);
    let (_, said) = output(valgrind.args(["--bench", "--work", work.get_name(), "--calls", &calls.to_string()]))?;
    let collected = said.lines().find_map(|line| line.split_once("Collected : "));
    let (_, collected) = collected.ok_or_else(|| format!("no instruction count in the output of Callgrind: {said}"))?;
    Ok(collected.trim().parse()?)
}

/// Executes `work` this many times: the code that Callgrind measures.
pub(crate) fn work(work: Work, calls: u32) -> Result<(), Failure> {
    let body = br#"{"sessionId":"s123456","archiveHistory":1}"#;
    let now = DateTime::from_timestamp(1_800_000_000, 0).ok_or("a time")?;
    let keys = vec![KeySettings::new(ACCESS_KEY, SECRET_KEY, Vdns::All(All::All))];
    let keys = Keys::new(&ApiSettings { keys, ..ApiSettings::default() })?;
    let mut headers = HeaderMap::new();
    headers.insert(HOST, HeaderValue::from_static("callsweep.example"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    let path = "/rest/isales/v1/openapi/campaigns/1/calldata/1/delete";
    let request = WireRequest { method: "POST", path, query: None, headers: &headers, body };
    let secret = SecretString::from(SECRET_KEY);
    let signed = auth::sign(request, ACCESS_KEY, &secret, &auth::timestamp(now), "content-type;host")?;
    let mut headers = headers.clone();
    headers.insert(AUTHORIZATION, HeaderValue::from_str(&signed.authorization)?);
    let request = WireRequest { headers: &headers, ..request };
    for _ in 0..calls {
        match work {
            Work::Signature => drop(black_box(keys.verify(black_box(request), Origin::default(), now)?)),
            Work::Body => drop(black_box(DeleteCall::parse(black_box(body))?)),
        }
    }
    Ok(())
}
