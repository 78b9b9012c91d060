//! `prune-history`: ends the retention of what is old, or shows what would go.

use std::fmt;
use std::time::{Duration, Instant};

use callsweep_core::age::cutoff;
use callsweep_core::bounds::Bounds;
use callsweep_core::engine::prune::{Prune, PrunePreview, PruneReport, preview, prune};
use callsweep_core::engine::{Engine, Outcome};
use callsweep_core::settings::Settings;
use serde::Serialize;

use super::{Found, Start};
use crate::cli::PruneArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, Format, grouped, printable};
use crate::cli::progress;
use crate::process::actor::actor;
use crate::process::stop::Stop;
use crate::process::{confirm, database};
use crate::run::reclaim;

/// Runs the command.
pub(crate) fn run(args: &PruneArgs, settings: &Settings, format: Format, stop: &Stop) -> Result<Exit, Failure> {
    let store = database::open(settings)?;
    let archived_before = cutoff(&args.older_than, store.clock().timestamp())
        .map_err(|problem| Failure::usage(format_args!("--older-than: {problem}")))?;
    let engine = super::engine(store, &args.control, settings);
    let bounds = Bounds { max_rows: args.max_rows, ..Bounds::default() };
    let order = Prune { archived_before, bounds, actor: actor() };
    if !args.execute {
        let Some(found) = look(&engine, &order, stop)? else { return Ok(confirm::stopped_before_the_first_row()) };
        let exit = match (&found.refused, found.numbers + found.ledger_rows) {
            (Some(_), _) => Exit::RefusedByBound,
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
    let question = |numbers| format!("Delete {} rows of history for good.", grouped(numbers));
    let Start::Go { expected } = super::start(found, question, args.yes, settings, stop)? else {
        return Ok(confirm::stopped_before_the_first_row());
    };
    let gatekeeper = super::gate(&args.control, settings, &engine.store, stop)?;
    let begun = Instant::now();
    let bar = progress::numbers(expected);
    let report = prune(&engine, &order, &mut super::control(&bar, gatekeeper, |counts| counts.deleted))?;
    bar.finish_and_clear();
    let took = begun.elapsed();
    reclaim::after(&engine.store, report.history.numbers, stop);
    output::print(format, &Account::new(&order, &report, took))?;
    Ok(match report.history.outcome {
        Outcome::Succeeded if report.ledger_rows > 0 => Exit::Done,
        _ => super::exit(&report.history),
    })
}

fn look(engine: &Engine, order: &Prune, stop: &Stop) -> Result<Option<PrunePreview>, Failure> {
    let spinner = progress::spinner("counting");
    let found = preview(engine, order, &|| stop.requested());
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
    fn new(order: &Prune, report: &PruneReport, took: Duration) -> Self {
        let history = &report.history;
        Self {
            run_id: history.run_id,
            archived_before: order.archived_before,
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
        let reason = reason.as_ref().map(|reason| format!(" ({})", printable(reason))).unwrap_or_default();
        writeln!(f, "Run {run_id}, prune of what was archived before {archived_before} UTC: {state}{reason}\n")?;
        writeln!(f, "{:>11} rows of history deleted", grouped(*pruned))?;
        writeln!(f, "{:>11} rows of the ledger deleted", grouped(*ledger_rows))?;
        writeln!(f, "{:>11} chunks, {} retries", grouped(*chunks), grouped(*retries))?;
        writeln!(f, "{seconds:>11.1} seconds")
    }
}
