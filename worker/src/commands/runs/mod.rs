//! `runs`: the ledger.

use std::fmt;

use callsweep_core::pace::PaceChange;
use callsweep_core::result_code::ResultCode;
use callsweep_core::run::{CampaignRun, Run, RunKind, RunState};
use callsweep_core::settings::Settings;
use callsweep_core::store::AnyConnection;
use callsweep_core::store::controls::{self, RunControl, Wanted};
use callsweep_core::store::runs::{self, RunFilter};
use chrono::NaiveDateTime;
use serde::Serialize;

use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, Format, grouped, printable};
use crate::cli::{RunAction, RunsArgs};
use crate::process::actor::actor;
use crate::process::database;

/// Runs the command.
pub(crate) fn run(args: &RunsArgs, settings: &Settings, format: Format) -> Result<Exit, Failure> {
    let store = database::open(settings)?;
    let mut conn = store.connection()?;
    let now = store.clock().timestamp();
    runs::interrupt_dead(&mut conn, now)?;
    let Some(id) = args.id else {
        let filter = RunFilter {
            kind: args.kind,
            policy: args.policy.clone(),
            vdn: args.vdn,
            campaign: args.campaign,
            limit: args.limit,
        };
        output::print(format, &Runs(runs::list(&mut conn, &filter)?))?;
        return Ok(Exit::Done);
    };
    let find = |conn: &mut AnyConnection| {
        runs::find(conn, id)?.ok_or_else(|| {
            Failure::usage(format_args!("run {id} is not in the ledger. `runs` without an id lists the newest"))
        })
    };
    let found = find(&mut conn)?;
    if let Some(action) = args.action {
        say(&mut conn, &found, action, &args.changes, now)?;
    }
    let run = find(&mut conn)?;
    let campaigns = runs::campaigns(&mut conn, id)?;
    let control = controls::read(&mut conn, id)?;
    output::print(format, &OneRun { run, campaigns, pace: control.pace })?;
    Ok(Exit::Done)
}

/// Says something to a run, which it takes to heart before its next chunk.
fn say(
    conn: &mut AnyConnection,
    run: &Run,
    action: RunAction,
    changes: &[PaceChange],
    now: NaiveDateTime,
) -> Result<(), Failure> {
    let id = run.id;
    if (action == RunAction::Set) == changes.is_empty() {
        return Err(Failure::usage("set takes changes such as target_chunk=100ms, and nothing else does"));
    }
    if !run.state.is_active() {
        let hint = match run.state {
            RunState::Stopped | RunState::Failed | RunState::Interrupted => {
                format!(". `sweep --resume {id}` goes on with it")
            }
            _ => String::new(),
        };
        return Err(Failure::usage(format_args!("run {id} is {}: nobody is working on it{hint}", run.state)));
    }
    if run.kind == RunKind::Request {
        return Err(Failure::usage(format_args!("run {id} answers a request: it is over before it could listen")));
    }
    let actor = actor();
    let said = |before: RunControl| {
        let wanted = match action {
            RunAction::Pause => Some(Wanted::Pause),
            RunAction::Cancel => Some(Wanted::Cancel),
            RunAction::Resume => None,
            RunAction::Set => before.wanted,
        };
        RunControl { wanted, pace: changes.iter().fold(before.pace, |pace, change| pace.then(*change)), actor }
    };
    Ok(controls::say(conn, id, said, now)?)
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
                run.vdn_id.map_or_else(|| "-".to_owned(), |vdn| vdn.to_string()),
                run.campaign_id.map_or_else(|| "-".to_owned(), |id| id.to_string()),
                grouped(run.counts.deleted),
                grouped(run.counts.archived),
                grouped(run.counts.barred.total()),
                printable(&run.actor)
            )?;
        }
        Ok(())
    }
}

/// One run, one line for each thing that is known about it.
#[derive(Serialize)]
struct OneRun {
    #[serde(flatten)]
    run: Run,
    campaigns: Vec<CampaignRun>,
    pace: PaceChange,
}

impl fmt::Display for OneRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { run, campaigns, pace } = self;
        let mut line = |name: &str, value: &dyn fmt::Display| {
            let value = value.to_string();
            writeln!(f, "{name:<16} {}", printable(&value))
        };
        line("run", &run.id)?;
        line("kind", &run.kind)?;
        given(&mut line, "policy", run.policy.as_ref())?;
        line("actor", &run.actor)?;
        given(&mut line, "VDN", run.vdn_id.as_ref())?;
        given(&mut line, "campaign", run.campaign_id.as_ref())?;
        line("criteria", &run.criteria)?;
        line("archive history", &if run.archive_history { "yes" } else { "no" })?;
        line("state", &run.state)?;
        given(&mut line, "held by", run.throttled_by.as_ref())?;
        given(&mut line, "stop reason", run.stop_reason.as_ref())?;
        given(&mut line, "error", run.error.as_ref())?;
        line("matched", &grouped(run.counts.matched))?;
        line("deleted", &grouped(run.counts.deleted))?;
        line("archived", &grouped(run.counts.archived))?;
        line("barred", &run.counts.barred)?;
        if run.restored + run.pruned > 0 {
            line("restored", &grouped(run.restored))?;
            line("pruned", &grouped(run.pruned))?;
        }
        line("chunks", &grouped(run.chunks))?;
        given(&mut line, "cursor", run.cursor.as_ref())?;
        line("started", &format_args!("{} UTC", run.started_at))?;
        line("heartbeat", &format_args!("{} UTC, by {}", run.heartbeat_at, run.owner))?;
        given(&mut line, "finished", run.finished_at.map(|at| format!("{at} UTC")).as_ref())?;
        given(&mut line, "request key", run.request_key.as_ref())?;
        given(&mut line, "idempotency key", run.idempotency_key.as_ref())?;
        given(&mut line, "request id", run.request_id.as_ref())?;
        given(&mut line, "client address", run.client_address.as_ref())?;
        given(&mut line, "result code", run.result_code.map(ResultCode::as_str).as_ref())?;
        if *pace != PaceChange::default() {
            line("pace set to", &serde_json::to_string(pace).unwrap_or_default())?;
        }
        campaigns.iter().try_for_each(|campaign| {
            let CampaignRun { campaign_id, state, counts, chunks, retries, .. } = campaign;
            writeln!(
                f,
                "\ncampaign {campaign_id}: {state}{}\n  {} matched, {} deleted, {} archived, {}\n  {} chunks, {} retries, \
                 {} ms in SQL, {} ms held, slowest chunk {} ms",
                campaign.stop_reason.as_ref().or(campaign.error.as_ref()).map(|why| format!(" ({})", printable(why))).unwrap_or_default(),
                grouped(counts.matched),
                grouped(counts.deleted),
                grouped(counts.archived),
                counts.barred,
                grouped(*chunks),
                grouped(*retries),
                grouped(campaign.sql_ms),
                grouped(campaign.throttled_ms),
                grouped(campaign.slowest_chunk_ms)
            )
        })
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
