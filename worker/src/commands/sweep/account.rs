//! What a run did.

use std::fmt;
use std::time::Duration;

use callsweep_core::engine::{CampaignReport, PurgeReport};
use callsweep_core::run::{Counts, RunState};
use callsweep_core::store::space::Reclaimed;
use callsweep_core::walk::Walk;
use serde::Serialize;

use super::preview::reasons;
use crate::cli::exit::{Exit, exit_of_run};
use crate::cli::output::{grouped, printable};

/// The account of a run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Account {
    run_id: i64,
    state: RunState,
    /// Why it was stopped or refused, or the error that ended it.
    reason: Option<String>,
    #[serde(flatten)]
    counts: Counts,
    chunks: i64,
    retries: i64,
    seconds: f64,
    campaigns: Vec<CampaignAccount>,
    /// What became of the space, after a big run.
    space: Option<Reclaimed>,
    /// Goes on with a run that has something left to do.
    resume_command: Option<String>,
    #[serde(skip)]
    exit: Exit,
}

/// The account of a run in one campaign.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CampaignAccount {
    vdn_id: i32,
    campaign_id: i64,
    state: RunState,
    reason: Option<String>,
    #[serde(flatten)]
    counts: Counts,
    chunks: i64,
    retries: i64,
    walk: Option<Walk>,
    sql_ms: f64,
    throttled_ms: f64,
    first_chunk_ms: f64,
    last_chunk_ms: f64,
    slowest_chunk_ms: f64,
}

impl Account {
    /// `resume_command` goes on with the run, if there may be something left to do.
    pub(super) fn new(report: &PurgeReport, took: Duration, resume_command: String, space: Option<Reclaimed>) -> Self {
        let can_be_resumed = matches!(report.outcome.state(), RunState::Stopped | RunState::Failed);
        Self {
            space,
            resume_command: can_be_resumed.then_some(resume_command),
            run_id: report.run_id,
            state: report.outcome.state(),
            reason: report.outcome.reason(),
            counts: report.counts,
            chunks: report.chunks,
            retries: report.retries,
            seconds: took.as_secs_f64(),
            campaigns: report.campaigns.iter().map(CampaignAccount::new).collect(),
            exit: exit_of_run(&report.outcome, &report.counts),
        }
    }

    /// The exit code that tells it.
    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    /// Why the run ended, in one line.
    pub(super) fn why(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{}: {reason}", self.state),
            None if self.exit == Exit::NothingToDo => format!("{}: nothing matched", self.state),
            None => format!("{}: all that matched has been looked at", self.state),
        }
    }
}

impl CampaignAccount {
    fn new(report: &CampaignReport) -> Self {
        Self {
            vdn_id: report.target.vdn_id.get(),
            campaign_id: report.target.campaign_id.get(),
            state: report.state,
            reason: report.reason.clone(),
            counts: report.counts,
            chunks: report.chunks,
            retries: report.retries,
            walk: report.walk,
            sql_ms: ms(report.sql),
            throttled_ms: ms(report.throttled),
            first_chunk_ms: ms(report.first_chunk),
            last_chunk_ms: ms(report.last_chunk),
            slowest_chunk_ms: ms(report.slowest_chunk),
        }
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
        write!(f, "Run {}: {}", self.run_id, self.state)?;
        match &self.reason {
            Some(reason) => writeln!(f, " ({})\n", printable(reason))?,
            None => writeln!(f, "\n")?,
        }
        writeln!(f, "{:>11} matched", grouped(matched))?;
        reasons(f, barred, "stayed")?;
        writeln!(f, "{:>11} deleted", grouped(deleted))?;
        writeln!(f, "{:>11} of them archived", grouped(archived))?;
        writeln!(f, "{:>11} chunks, {} retries", grouped(self.chunks), grouped(self.retries))?;
        writeln!(f, "{:>11.1} seconds", self.seconds)?;
        self.campaigns.iter().try_for_each(|campaign| write!(f, "\n{campaign}"))?;
        match &self.space {
            Some(Reclaimed::Pages { bytes, longest, .. }) => writeln!(
                f,
                "\nSpace: the file is {} bytes shorter; no writer waited for that more than {} ms",
                grouped(*bytes),
                longest.as_millis()
            )?,
            Some(Reclaimed::NotIncremental { .. }) => {
                writeln!(f, "\nSpace: the file does not shrink; `doctor` says what to do about it")?;
            }
            Some(Reclaimed::ByServer) => {
                writeln!(
                    f,
                    "\nSpace: the server keeps it for new rows, which is as it should be; see docs/dba/space.md"
                )?;
            }
            None => {}
        }
        match &self.resume_command {
            Some(command) => writeln!(f, "\nTo go on from there:\n  {command}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for CampaignAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Campaign {} in VDN {}: {}", self.campaign_id, self.vdn_id, self.state)?;
        if let Some(reason) = &self.reason {
            write!(f, " ({})", printable(reason))?;
        }
        let Counts { deleted, archived, barred, .. } = self.counts;
        writeln!(
            f,
            "\n  {} deleted, {} archived, {} barred, {} chunks, {} retries",
            grouped(deleted),
            grouped(archived),
            grouped(barred.total()),
            grouped(self.chunks),
            grouped(self.retries)
        )?;
        if let Some(walk) = self.walk {
            let (first, last, slowest) = (self.first_chunk_ms, self.last_chunk_ms, self.slowest_chunk_ms);
            writeln!(f, "  walk: {walk}; first chunk {first:.0} ms, last {last:.0} ms, slowest {slowest:.0} ms")?;
            writeln!(f, "  {:.1} s in SQL, {:.1} s held", self.sql_ms / 1000.0, self.throttled_ms / 1000.0)?;
        }
        Ok(())
    }
}
