//! What a run did.

use std::fmt;
use std::time::Duration;

use callsweep_core::purge::{CampaignReport, Outcome, PurgeReport, StopReason};
use callsweep_core::run::{Counts, NewRun, RunState};
use callsweep_core::store::walk::Walk;
use serde::Serialize;

use super::preview::reasons;
use crate::exit::Exit;
use crate::output::grouped;

/// The account of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Account {
    run_id: i64,
    vdn_id: i32,
    campaign_id: i64,
    state: RunState,
    /// Why it was stopped or refused, or the error that ended it.
    reason: Option<String>,
    #[serde(flatten)]
    counts: Counts,
    chunks: i64,
    retries: i64,
    walk: Option<Walk>,
    first_chunk_ms: f64,
    last_chunk_ms: f64,
    slowest_chunk_ms: f64,
    seconds: f64,
    #[serde(skip)]
    exit: Exit,
}

impl Account {
    pub(super) fn new(run: &NewRun, report: &PurgeReport, took: Duration) -> Self {
        let campaign = report.campaigns.first();
        let chunk_ms = |took: fn(&CampaignReport) -> Duration| campaign.map_or(0.0, |campaign| ms(took(campaign)));
        Self {
            run_id: report.run_id,
            vdn_id: run.targets[0].vdn_id.get(),
            campaign_id: run.targets[0].campaign_id.get(),
            state: report.outcome.state(),
            reason: report.outcome.reason(),
            counts: report.counts,
            chunks: report.chunks,
            retries: report.retries,
            walk: campaign.and_then(|campaign| campaign.walk),
            first_chunk_ms: chunk_ms(|campaign| campaign.first_chunk),
            last_chunk_ms: chunk_ms(|campaign| campaign.last_chunk),
            slowest_chunk_ms: chunk_ms(|campaign| campaign.slowest_chunk),
            seconds: took.as_secs_f64(),
            exit: exit(&report.outcome, &report.counts),
        }
    }

    /// The exit code that tells it.
    pub(super) fn exit(&self) -> Exit {
        self.exit
    }
}

fn exit(outcome: &Outcome, counts: &Counts) -> Exit {
    match outcome {
        Outcome::Succeeded if counts.matched == 0 => Exit::NothingToDo,
        Outcome::Succeeded if counts.deleted == 0 => Exit::RefusedByRules,
        Outcome::Succeeded => Exit::Done,
        Outcome::Stopped(StopReason::CampaignExecuting) | Outcome::Refused(_) => Exit::RefusedByRules,
        Outcome::Stopped(_) => Exit::StoppedByPerson,
        Outcome::Failed(_) => Exit::Failed,
    }
}

/// To the microsecond.
#[allow(clippy::cast_precision_loss, reason = "a chunk does not take centuries")]
fn ms(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { matched, deleted, archived, barred } = self.counts;
        let Self { run_id, campaign_id, vdn_id, state, .. } = self;
        write!(f, "Run {run_id} on campaign {campaign_id} in VDN {vdn_id}: {state}")?;
        match &self.reason {
            Some(reason) => writeln!(f, " ({reason})\n")?,
            None => writeln!(f, "\n")?,
        }
        writeln!(f, "{:>11} matched", grouped(matched))?;
        reasons(f, barred, "stayed")?;
        writeln!(f, "{:>11} deleted", grouped(deleted))?;
        writeln!(f, "{:>11} of them archived", grouped(archived))?;
        writeln!(f, "{:>11} chunks, {} retries", grouped(self.chunks), grouped(self.retries))?;
        writeln!(f, "{:>11.1} seconds", self.seconds)?;
        if let Some(walk) = self.walk {
            let (first, last, slowest) = (self.first_chunk_ms, self.last_chunk_ms, self.slowest_chunk_ms);
            writeln!(f, "\nWalk: {walk}. First chunk {first:.0} ms, last {last:.0} ms, slowest {slowest:.0} ms")?;
        }
        if *state == RunState::Stopped && self.exit == Exit::StoppedByPerson {
            writeln!(f, "What is not removed yet is where it was: the same command goes on from there.")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use callsweep_core::error::Error;
    use callsweep_core::rules::Barred;

    use super::*;

    #[test]
    fn the_exit_code_tells_the_outcome() {
        let counts = |deleted, call_ongoing| Counts {
            matched: deleted + call_ongoing,
            deleted,
            archived: 0,
            barred: Barred { call_ongoing, ..Barred::default() },
        };
        let person = Outcome::Stopped(StopReason::Person);
        assert_eq!(exit(&Outcome::Succeeded, &counts(0, 0)), Exit::NothingToDo);
        assert_eq!(exit(&Outcome::Succeeded, &counts(0, 2)), Exit::RefusedByRules);
        assert_eq!(exit(&Outcome::Succeeded, &counts(1, 2)), Exit::Done);
        assert_eq!(exit(&person, &counts(0, 0)), Exit::StoppedByPerson);
        assert_eq!(exit(&Outcome::Stopped(StopReason::CampaignExecuting), &counts(5, 0)), Exit::RefusedByRules);
        assert_eq!(exit(&Outcome::Refused(Error::CampaignExecuting), &counts(0, 0)), Exit::RefusedByRules);
        assert_eq!(exit(&Outcome::Failed(Error::CampaignExecuting), &counts(5, 0)), Exit::Failed);
    }
}
