//! `runs`: the ledger.

use std::fmt;

use callsweep_core::run::Run;
use callsweep_core::settings::Settings;
use callsweep_core::store::runs::{self, RunFilter};
use serde::Serialize;

use crate::cli::RunsArgs;
use crate::database;
use crate::exit::{Exit, Failure};
use crate::output::{self, Format, grouped};

/// Runs the command.
pub(crate) fn run(args: &RunsArgs, settings: &Settings, format: Format) -> Result<Exit, Failure> {
    let store = database::open(settings)?;
    let mut conn = store.connection()?;
    if let Some(id) = args.id {
        let Some(run) = runs::find(&mut conn, id)? else {
            return Err(Failure::usage(format_args!(
                "run {id} is not in the ledger. `runs` without an id lists the newest"
            )));
        };
        output::print(format, &OneRun(run))?;
    } else {
        let filter =
            RunFilter { kind: args.kind, policy: None, vdn: args.vdn, campaign: args.campaign, limit: args.limit };
        output::print(format, &Runs(runs::list(&mut conn, &filter)?))?;
    }
    Ok(Exit::Done)
}

/// The newest runs, one line each.
#[derive(Serialize)]
#[serde(transparent)]
struct Runs(Vec<Run>);

impl fmt::Display for Runs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return writeln!(f, "no runs");
        }
        writeln!(
            f,
            "{:<19}  {:<19}  {:<7}  {:<9}  {:>4}  {:>19}  {:>11}  {:>11}  {:>11}  ACTOR",
            "RUN", "STARTED (UTC)", "KIND", "STATE", "VDN", "CAMPAIGN", "DELETED", "ARCHIVED", "BARRED"
        )?;
        for run in &self.0 {
            writeln!(
                f,
                "{:<19}  {:<19}  {:<7}  {:<9}  {:>4}  {:>19}  {:>11}  {:>11}  {:>11}  {}",
                run.id,
                run.started_at.format("%Y-%m-%d %H:%M:%S").to_string(),
                run.kind,
                run.state,
                run.vdn_id,
                run.campaign_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
                grouped(run.counts.deleted),
                grouped(run.counts.archived),
                grouped(run.counts.barred.total()),
                run.actor
            )?;
        }
        Ok(())
    }
}

/// One run, one line for each thing that is known about it.
#[derive(Serialize)]
#[serde(transparent)]
struct OneRun(Run);

impl fmt::Display for OneRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(run) = self;
        let mut line = |name: &str, value: &dyn fmt::Display| writeln!(f, "{name:<16} {value}");
        line("run", &run.id)?;
        line("kind", &run.kind)?;
        given(&mut line, "policy", run.policy.as_ref())?;
        line("actor", &run.actor)?;
        line("VDN", &run.vdn_id)?;
        given(&mut line, "campaign", run.campaign_id.as_ref())?;
        line("criteria", &run.criteria)?;
        line("archive history", &if run.archive_history { "yes" } else { "no" })?;
        line("state", &run.state)?;
        given(&mut line, "stop reason", run.stop_reason.as_ref())?;
        given(&mut line, "error", run.error.as_ref())?;
        line("matched", &grouped(run.counts.matched))?;
        line("deleted", &grouped(run.counts.deleted))?;
        line("archived", &grouped(run.counts.archived))?;
        line("barred", &grouped(run.counts.barred.total()))?;
        line("chunks", &grouped(run.chunks))?;
        given(&mut line, "cursor", run.cursor.as_ref())?;
        line("started", &format_args!("{} UTC", run.started_at))?;
        line("heartbeat", &format_args!("{} UTC", run.heartbeat_at))?;
        given(&mut line, "finished", run.finished_at.map(|at| format!("{at} UTC")).as_ref())?;
        given(&mut line, "request key", run.request_key.as_ref())?;
        given(&mut line, "result code", run.result_code.as_ref())
    }
}

/// A line for a value that not every run has.
fn given<T: fmt::Display>(
    line: &mut impl FnMut(&str, &dyn fmt::Display) -> fmt::Result,
    name: &str,
    value: Option<&T>,
) -> fmt::Result {
    value.map_or(Ok(()), |value| line(name, value))
}
