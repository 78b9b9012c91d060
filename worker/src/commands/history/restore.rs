//! `restore`: takes back what a run archived, or shows what would return.

use std::fmt;
use std::time::{Duration, Instant};

use callsweep_core::engine::HistoryReport;
use callsweep_core::engine::restore::{Restore, RestorePreview, preview, restore};
use callsweep_core::engine::{Engine, Outcome};
use callsweep_core::settings::Settings;
use serde::Serialize;

use super::{Found, Start};
use crate::cli::RestoreArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, Format, grouped, printable};
use crate::cli::progress;
use crate::process::actor::actor;
use crate::process::stop::Stop;
use crate::process::{confirm, database};

/// Runs the command.
pub(crate) fn run(args: &RestoreArgs, settings: &Settings, format: Format, stop: &Stop) -> Result<Exit, Failure> {
    let engine = super::engine(database::open(settings)?, &args.control, settings);
    let order = Restore { run_id: args.run_id, actor: actor(), into_executing: args.into_executing };
    if !args.execute {
        let Some(found) = look(&engine, &order, stop)? else { return Ok(confirm::stopped_before_the_first_row()) };
        let exit = match (&found.refused, found.numbers) {
            (Some(_), _) => Exit::RefusedByRules,
            (None, 0) => Exit::NothingToDo,
            (None, _) => Exit::Done,
        };
        output::print(format, &Shown(found))?;
        return Ok(exit);
    }
    let found = || {
        let found = look(&engine, &order, stop)?;
        Ok(found.map(|found| Found { numbers: found.numbers, is_refused: found.refused.is_some() }))
    };
    let question = |numbers| format!("Restore {} numbers of run {}.", grouped(numbers), order.run_id);
    let Start::Go { expected } = super::start(found, question, args.yes, settings, stop)? else {
        return Ok(confirm::stopped_before_the_first_row());
    };
    let gatekeeper = super::gate(&args.control, settings, &engine.store, stop)?;
    let begun = Instant::now();
    let bar = progress::numbers(expected);
    let report = restore(&engine, &order, &mut super::control(&bar, gatekeeper, |counts| counts.matched))?;
    bar.finish_and_clear();
    output::print(format, &Account::new(&order, &report, begun.elapsed()))?;
    if !matches!(report.outcome, Outcome::Succeeded | Outcome::Refused(_)) {
        output::note("What is left is still in history: the same command continues with it.");
    }
    Ok(super::exit(&report))
}

fn look(engine: &Engine, order: &Restore, stop: &Stop) -> Result<Option<RestorePreview>, Failure> {
    let spinner = progress::spinner("counting");
    let found = preview(engine, order, &|| stop.requested());
    spinner.finish_and_clear();
    Ok(found?)
}

/// What would return.
#[derive(Serialize)]
#[serde(transparent)]
struct Shown(RestorePreview);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(found) = self;
        writeln!(f, "Run {}: {} numbers would return to call_data", found.run_id, grouped(found.numbers))?;
        for share in &found.campaigns {
            let (campaign, vdn) = (share.target.campaign_id, share.target.vdn_id);
            writeln!(f, "{:>11} to campaign {campaign} in VDN {vdn}", grouped(share.numbers))?;
        }
        if found.pruned > 0 {
            writeln!(f, "{:>11} of that run were pruned from history and do not return", grouped(found.pruned))?;
        }
        match &found.refused {
            Some(why) => writeln!(f, "\nThis would be refused: {why}."),
            None => writeln!(f, "\nNothing was changed. With --execute they return."),
        }
    }
}

/// What a restore did.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    /// The ledger's row of the restore itself.
    run_id: i64,
    restored_run: i64,
    state: &'static str,
    reason: Option<String>,
    restored: i64,
    chunks: i64,
    retries: i64,
    seconds: f64,
}

impl Account {
    fn new(order: &Restore, report: &HistoryReport, took: Duration) -> Self {
        Self {
            run_id: report.run_id,
            restored_run: order.run_id,
            state: report.outcome.state().as_str(),
            reason: report.outcome.reason(),
            restored: report.numbers,
            chunks: report.chunks,
            retries: report.retries,
            seconds: took.as_secs_f64(),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run_id, restored_run, state, reason, restored, chunks, retries, seconds } = self;
        let reason = reason.as_ref().map(|reason| format!(" ({})", printable(reason))).unwrap_or_default();
        writeln!(f, "Run {run_id}, restore of run {restored_run}: {state}{reason}\n")?;
        writeln!(f, "{:>11} restored", grouped(*restored))?;
        writeln!(f, "{:>11} chunks, {} retries", grouped(*chunks), grouped(*retries))?;
        writeln!(f, "{seconds:>11.1} seconds")
    }
}
