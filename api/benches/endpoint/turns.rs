//! The systems run in turns (A B C A B C …), so that other activity on the machine affects all of them.

use std::net::SocketAddr;
use std::path::Path;

use callsweep_testkit::TestDatabase;

use crate::Size;
use crate::data::{Data, Work};
use crate::process::Failure;
use crate::requests;
use crate::wrk::{self, CLIENTS};

/// The result of one run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Requests per second.
    pub(crate) rate: f64,
    /// The 99th percentile of the latency, in milliseconds.
    pub(crate) p99_ms: f64,
    /// The work that the tables must show.
    pub(crate) work: Work,
}

type RunOn<'a> = dyn Fn(&TestDatabase) -> Result<Run, Failure> + 'a;

/// A system that is measured.
pub(crate) struct Contender<'a> {
    /// Its name in the table.
    name: &'static str,
    /// Removes numbers from a full database.
    run: Box<RunOn<'a>>,
}

impl<'a> Contender<'a> {
    pub(crate) fn new(name: &'static str, run: impl Fn(&TestDatabase) -> Result<Run, Failure> + 'a) -> Self {
        Self { name, run: Box::new(run) }
    }
}

/// The results of a contender: one value for each turn.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) name: &'static str,
    pub(crate) rates: Vec<f64>,
    pub(crate) p99s_ms: Vec<f64>,
}

/// Runs all contenders in turns, each on a fresh copy of the full database, and checks the work of each run.
pub(crate) fn take_turns(
    size: Size,
    full: &TestDatabase,
    data: Data,
    contenders: &[Contender<'_>],
) -> Result<Vec<Measured>, Failure> {
    let nothing = |contender: &Contender<'_>| Measured { name: contender.name, rates: vec![], p99s_ms: vec![] };
    let mut measured: Vec<Measured> = contenders.iter().map(nothing).collect();
    for turn in 1..=size.runs {
        for (contender, measured) in contenders.iter().zip(&mut measured) {
            let database = TestDatabase::copy_of(full);
            let failed = |failure: Failure| format!("{}: {failure}", contender.name);
            let run = (contender.run)(&database).map_err(failed)?;
            data.check(&database, run.work).map_err(failed)?;
            eprintln!("{turn}/{}: {}: {:.0}/s, p99 {:.1} ms", size.runs, contender.name, run.rate, run.p99_ms);
            measured.rates.push(run.rate);
            measured.p99s_ms.push(run.p99_ms);
        }
    }
    Ok(measured)
}

/// Sends requests to a server: first the warm-up, then the measurement.
pub(crate) fn drive(size: Size, data: Data, address: SocketAddr, dir: &Path) -> Result<Run, Failure> {
    let file = dir.join("requests");
    let warm = size.warm_up * size.ceiling;
    requests::write(&file, data, 0..warm)?;
    let warm_up = wrk::drive(address, &file, size.warm_up)?;
    requests::write(&file, data, warm..warm + size.seconds * size.ceiling)?;
    let measured = wrk::drive(address, &file, size.seconds)?;
    let answered = warm_up.answered + measured.answered;
    // At its end, each of the two phases may leave one unanswered request per client.
    let work = Work { answered, in_flight: 2 * CLIENTS, ledger: true };
    Ok(Run { rate: measured.rate, p99_ms: measured.p99_ms, work })
}
