//! `verify`: whether the promises hold on the data as it is.

use std::fmt;

use callsweep_core::engine::verify::{Report, verify};
use callsweep_core::settings::Settings;
use serde::Serialize;

use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, Format, grouped};
use crate::cli::progress;
use crate::process::database;
use crate::process::stop::Stop;

/// Runs the command.
pub(crate) fn run(settings: &Settings, format: Format, stop: &Stop) -> Result<Exit, Failure> {
    let store = database::open(settings)?;
    let bar = progress::numbers(None);
    let looked = verify(&store, &mut |report| {
        bar.set_position(u64::try_from(report.history_rows).unwrap_or(0));
        bar.set_message(format!("rows of history, {} runs", grouped(report.runs)));
        !stop.requested()
    });
    bar.finish_and_clear();
    let Some(report) = looked? else {
        output::note("stopped by a person; it was not looked at everything");
        return Ok(Exit::StoppedByPerson);
    };
    let exit = if report.violations.is_empty() { Exit::Done } else { Exit::Failed };
    output::print(format, &Shown(report))?;
    Ok(exit)
}

#[derive(Serialize)]
#[serde(transparent)]
struct Shown(Report);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report) = self;
        let (rows, campaigns) = (grouped(report.history_rows), grouped(report.campaigns));
        writeln!(f, "Looked at {rows} rows of history in {campaigns} campaigns, {} runs", grouped(report.runs))?;
        for (run_id, why) in &report.skipped {
            writeln!(f, "skipped  run {run_id}: {why}")?;
        }
        for violation in &report.violations {
            writeln!(f, "violated {}", violation.detail)?;
        }
        match report.violations.len() {
            0 => writeln!(f, "Every promise holds."),
            violations => writeln!(f, "{violations} violation(s)."),
        }
    }
}
