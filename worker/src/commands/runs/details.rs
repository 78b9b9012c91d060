//! One run, with everything that the ledger knows about it.

use std::fmt;

use callsweep_core::pace::PaceChange;
use callsweep_core::result_code::ResultCode;
use callsweep_core::run::{CampaignRun, Run};
use serde::Serialize;

use super::request::has_taken_effect;
use crate::cli::RunAction;
use crate::cli::output::{grouped, printable};

/// One run, one line for each thing that is known about it.
#[derive(Serialize)]
pub(super) struct OneRun {
    #[serde(flatten)]
    pub(super) run: Run,
    pub(super) campaigns: Vec<CampaignRun>,
    pub(super) pace: PaceChange,
    /// What was asked of it just now.
    pub(super) requested: Option<RunAction>,
}

impl OneRun {
    /// What was asked, and whether it has taken effect.
    fn write_request(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(action) = self.requested else { return Ok(()) };
        let Run { id, state, .. } = self.run;
        if has_taken_effect(&self.run, action) && action != RunAction::Set {
            return writeln!(f, "Run {id} was asked to {action}: it is {state}.\n");
        }
        writeln!(f, "Run {id} was asked to {action}. This takes effect before its next chunk; now it is {state}.\n")
    }
}

impl fmt::Display for OneRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_request(f)?;
        let Self { run, campaigns, pace, .. } = self;
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
