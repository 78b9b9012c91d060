//! `prune-history`: ends the retention of what is old, or shows what would go.

use std::fmt;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use callsweep_core::age::cutoff;
use callsweep_core::bounds::Bounds;
use callsweep_core::engine::prune::{Prune, PrunePreview, PruneReport, preview, prune};
use callsweep_core::engine::{Engine, Outcome};
use callsweep_core::settings::Settings;
use clap::Args;
use serde::Serialize;

use crate::actor::actor;
use crate::exit::{Exit, Failure};
use crate::history;
use crate::output::{self, Format, grouped};
use crate::stop::Stop;
use crate::{ask, database, progress, reclaim};

/// Rows of call_data_history go for good, and then the rows of the ledger that are as old and have no history left.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// What was archived longer ago than this goes: 90d, 26w or 2y
    #[arg(long, value_name = "AGE", allow_hyphen_values = true)]
    older_than: String,

    /// Refuse before the first row if more rows of history than this would go
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    max_rows: Option<i64>,

    /// Remove them; without it nothing is changed
    #[arg(long)]
    execute: bool,

    /// Do not ask before many rows go
    #[arg(long, requires = "execute")]
    yes: bool,
}

/// Runs the command.
pub(crate) fn run(args: &PruneArgs, settings: &Settings, format: Format, stop: &Stop) -> Result<Exit, Failure> {
    let store = database::open(settings)?;
    let archived_before = cutoff(&args.older_than, store.clock().timestamp())
        .map_err(|problem| Failure::usage(format_args!("--older-than: {problem}")))?;
    let engine = Engine { store, rules: settings.rules.ongoing_task, pace: settings.worker.pace() };
    let bounds = Bounds { max_rows: args.max_rows, ..Bounds::default() };
    let wish = Prune { archived_before, bounds, actor: actor() };
    if !args.execute {
        let Some(found) = look(&engine, &wish, stop)? else { return Ok(ask::stopped_before_the_first_row()) };
        let exit = match (&found.refused, found.numbers + found.ledger_rows) {
            (Some(_), _) => Exit::RefusedByBound,
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
        let question = format!("Delete {} rows of history for good.", grouped(found.numbers));
        if ask && io::stdin().is_terminal() && !ask::confirmed(&question, stop)? {
            return Ok(ask::stopped_before_the_first_row());
        }
        expected = Some(found.numbers);
    }
    let begun = Instant::now();
    let bar = progress::numbers(expected);
    let report = prune(&engine, &wish, &mut history::control(&bar, stop, |counts| counts.deleted))?;
    bar.finish_and_clear();
    let took = begun.elapsed();
    reclaim::after(&engine.store, report.history.numbers, stop);
    output::print(format, &Account::new(&wish, &report, took))?;
    Ok(match report.history.outcome {
        Outcome::Succeeded if report.ledger_rows > 0 => Exit::Done,
        _ => history::exit(&report.history),
    })
}

fn look(engine: &Engine, wish: &Prune, stop: &Stop) -> Result<Option<PrunePreview>, Failure> {
    let spinner = progress::spinner("counting");
    let found = preview(engine, wish, &|| stop.requested());
    spinner.finish_and_clear();
    Ok(found?)
}

/// What would go.
#[derive(Serialize)]
#[serde(transparent)]
struct Shown(PrunePreview);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(found) = self;
        writeln!(f, "Archived before {} UTC, and would go for good:\n", found.archived_before)?;
        writeln!(f, "{:>11} rows of history", grouped(found.numbers))?;
        for share in &found.campaigns {
            writeln!(f, "{:>11} of campaign {}", grouped(share.numbers), share.campaign_id)?;
        }
        writeln!(f, "{:>11} rows of the ledger, at most", grouped(found.ledger_rows))?;
        match &found.refused {
            Some(why) => writeln!(f, "\nThis would be refused: {why}."),
            None => writeln!(f, "\nNothing was changed. With --execute they go."),
        }
    }
}

/// What a prune did.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Account {
    run_id: i64,
    archived_before: chrono::NaiveDateTime,
    state: &'static str,
    reason: Option<String>,
    pruned: i64,
    ledger_rows: i64,
    chunks: i64,
    retries: i64,
    seconds: f64,
}

impl Account {
    fn new(wish: &Prune, report: &PruneReport, took: Duration) -> Self {
        let history = &report.history;
        Self {
            run_id: history.run_id,
            archived_before: wish.archived_before,
            state: history.outcome.state().as_str(),
            reason: history.outcome.reason(),
            pruned: history.numbers,
            ledger_rows: report.ledger_rows,
            chunks: history.chunks,
            retries: history.retries,
            seconds: took.as_secs_f64(),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run_id, archived_before, state, reason, pruned, ledger_rows, chunks, retries, seconds } = self;
        let reason = reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        writeln!(f, "Run {run_id}, prune of what was archived before {archived_before} UTC: {state}{reason}\n")?;
        writeln!(f, "{:>11} rows of history deleted", grouped(*pruned))?;
        writeln!(f, "{:>11} rows of the ledger deleted", grouped(*ledger_rows))?;
        writeln!(f, "{:>11} chunks, {} retries", grouped(*chunks), grouped(*retries))?;
        writeln!(f, "{seconds:>11.1} seconds")
    }
}
