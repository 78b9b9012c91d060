//! `restore`: takes back what a run archived, or shows what would return.

use std::fmt;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use callsweep_core::engine::HistoryReport;
use callsweep_core::engine::restore::{Restore, RestorePreview, preview, restore};
use callsweep_core::engine::{Engine, Outcome};
use callsweep_core::settings::Settings;
use callsweep_core::store::Store;
use clap::Args;
use serde::Serialize;

use crate::actor::actor;
use crate::exit::{Exit, Failure};
use crate::history;
use crate::output::{self, Format, grouped};
use crate::stop::Stop;
use crate::{ask, database, progress};

/// Numbers come back as they were, status and times included. What is left when it ends early is still in history: the
/// same command goes on with it.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The run that archived the numbers
    #[arg(value_name = "RUN")]
    run_id: i64,

    /// Restore the numbers; without it nothing is changed
    #[arg(long)]
    execute: bool,

    /// Restore into an executing campaign too: its dialler will call the numbers
    #[arg(long)]
    into_executing: bool,

    /// Do not ask before many numbers return
    #[arg(long, requires = "execute")]
    yes: bool,
}

/// Runs the command.
pub(crate) fn run(args: &RestoreArgs, settings: &Settings, format: Format, stop: &Stop) -> Result<Exit, Failure> {
    let store: Store = database::open(settings)?;
    let engine = Engine { store, rules: settings.rules.ongoing_task, pace: settings.worker.pace() };
    let wish = Restore { run_id: args.run_id, actor: actor(), into_executing: args.into_executing };
    if !args.execute {
        let Some(found) = look(&engine, &wish, stop)? else { return Ok(ask::stopped_before_the_first_row()) };
        let exit = match (&found.refused, found.numbers) {
            (Some(_), _) => Exit::RefusedByRules,
            (None, 0) => Exit::NothingToDo,
            (None, _) => Exit::Done,
        };
        output::print(format, &Shown(found))?;
        return Ok(exit);
    }
    let mut expected = None;
    if progress::on_terminal() {
        let Some(found) = look(&engine, &wish, stop)? else { return Ok(ask::stopped_before_the_first_row()) };
        let ask = found.refused.is_none() && found.numbers > settings.worker.confirm_above && !args.yes;
        let question = format!("Restore {} numbers of run {}.", grouped(found.numbers), wish.run_id);
        if ask && io::stdin().is_terminal() && !ask::confirmed(&question, stop)? {
            return Ok(ask::stopped_before_the_first_row());
        }
        expected = Some(found.numbers);
    }
    let begun = Instant::now();
    let bar = progress::numbers(expected);
    let report = restore(&engine, &wish, &mut history::control(&bar, stop, |counts| counts.matched))?;
    bar.finish_and_clear();
    output::print(format, &Account::new(&wish, &report, begun.elapsed()))?;
    let exit = history::exit(&report);
    if !matches!(report.outcome, Outcome::Succeeded | Outcome::Refused(_)) {
        output::note("What is left is still in history: the same command goes on with it.");
    }
    Ok(exit)
}

fn look(engine: &Engine, wish: &Restore, stop: &Stop) -> Result<Option<RestorePreview>, Failure> {
    let spinner = progress::spinner("counting");
    let found = preview(engine, wish, &|| stop.requested());
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
    fn new(wish: &Restore, report: &HistoryReport, took: Duration) -> Self {
        Self {
            run_id: report.run_id,
            restored_run: wish.run_id,
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
        let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        writeln!(f, "Run {run_id}, restore of run {restored_run}: {state}{reason}\n")?;
        writeln!(f, "{:>11} restored", grouped(*restored))?;
        writeln!(f, "{:>11} chunks, {} retries", grouped(*chunks), grouped(*retries))?;
        writeln!(f, "{seconds:>11.1} seconds")
    }
}
