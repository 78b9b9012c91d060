//! The results of runs.

use std::time::Duration;

use crate::engine::error::Error;
use crate::model::campaign::CampaignId;
use crate::model::outcome_code::OutcomeCode;
use crate::model::result_code::ResultCode;
use crate::model::run::{Counts, RunState, Target};
use crate::model::stop_reason::StopReason;
use crate::model::walk::Walk;
use crate::store::ledger::{CampaignRow, RunEnd};

/// How a run ended, or a campaign of it.
#[derive(Debug)]
pub enum Outcome {
    /// All matching numbers were processed.
    Succeeded,
    /// Stopped between two chunks.
    Stopped(StopReason),
    /// Refused before the first row was removed.
    Refused(Error),
    /// Ended by an error. The counts include what was committed before it.
    Failed(Error),
}

impl Outcome {
    /// The corresponding state in the ledger.
    #[must_use]
    pub fn state(&self) -> RunState {
        match self {
            Self::Succeeded => RunState::Succeeded,
            Self::Stopped(_) => RunState::Stopped,
            Self::Refused(_) => RunState::Refused,
            Self::Failed(_) => RunState::Failed,
        }
    }

    /// The code of the outcome. Programs decide by it, never by the texts.
    #[must_use]
    pub fn code(&self) -> OutcomeCode {
        match self {
            Self::Succeeded => OutcomeCode::Succeeded,
            Self::Stopped(reason) => reason.into(),
            Self::Refused(error) | Self::Failed(error) => error.into(),
        }
    }

    /// The outcome as the columns of the run's row.
    pub(crate) fn run_end(&self, result_code: Option<ResultCode>) -> RunEnd {
        let (stop_reason, error) = match self {
            Self::Failed(error) => (None, Some(error.to_string())),
            other => (other.reason(), None),
        };
        RunEnd { state: self.state(), outcome: self.code(), stop_reason, error, result_code }
    }

    /// Why the run did not succeed, for people.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match self {
            Self::Succeeded => None,
            Self::Stopped(reason) => Some(reason.to_string()),
            Self::Refused(error) | Self::Failed(error) => Some(error.to_string()),
        }
    }
}

/// The result of a run in one campaign.
#[derive(Debug)]
pub struct CampaignReport {
    /// The campaign.
    pub target: Target,
    /// How it ended there.
    pub state: RunState,
    /// Why it did not succeed.
    pub reason: Option<String>,
    /// What was committed there, including by an earlier process of the same run.
    pub counts: Counts,
    /// Chunks committed there.
    pub chunks: i64,
    /// Retries.
    pub retries: i64,
    /// Which index the run scanned. `None` if the run ended before it chose one.
    pub walk: Option<Walk>,
    /// Time spent in chunks.
    pub sql: Duration,
    /// Time for which throttles and operators held the run.
    pub throttled: Duration,
    /// How long the first chunk of this process took.
    pub first_chunk: Duration,
    /// How long the last chunk took.
    pub last_chunk: Duration,
    /// How long the slowest chunk took.
    pub slowest_chunk: Duration,
}

impl CampaignReport {
    /// The report of what an earlier process of the run did in the campaign.
    pub(crate) fn from_row(row: &CampaignRow, target: Target) -> Self {
        let ms = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        Self {
            target,
            state: row.state,
            reason: None,
            counts: row.counts(),
            chunks: row.chunks,
            retries: row.retries,
            walk: row.walk,
            sql: ms(row.sql_ms),
            throttled: ms(row.throttled_ms),
            first_chunk: Duration::ZERO,
            last_chunk: Duration::ZERO,
            slowest_chunk: ms(row.slowest_chunk_ms),
        }
    }

    pub(crate) fn add(&mut self, counts: &Counts, took: Duration) {
        if self.first_chunk.is_zero() {
            self.first_chunk = took;
        }
        self.counts += *counts;
        self.chunks += 1;
        self.sql += took;
        self.last_chunk = took;
        self.slowest_chunk = self.slowest_chunk.max(took);
    }
}

/// The result of a run.
#[derive(Debug)]
pub struct PurgeReport {
    /// The run's id in the ledger.
    pub run_id: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// What was committed.
    pub counts: Counts,
    /// Chunks committed.
    pub chunks: i64,
    /// Retries.
    pub retries: i64,
    /// Each campaign that the run worked on, in order.
    pub campaigns: Vec<CampaignReport>,
}

impl PurgeReport {
    /// The result code of the contract.
    #[must_use]
    pub fn result_code(&self) -> ResultCode {
        match &self.outcome {
            Outcome::Refused(error) | Outcome::Failed(error) => error.into(),
            Outcome::Stopped(StopReason::CampaignExecuting) if self.counts.deleted == 0 => ResultCode::StateForbids,
            Outcome::Succeeded | Outcome::Stopped(_) => result_code(&self.counts),
        }
    }
}

/// The result code of a completed request. If numbers match and all of them are barred it is 0200028 (contract, section 2).
pub(crate) fn result_code(counts: &Counts) -> ResultCode {
    if counts.deleted == 0 && counts.barred.total() > 0 { ResultCode::StateForbids } else { ResultCode::Success }
}

/// Combines the outcomes of a run's campaigns. A failed campaign neither stops the others nor is hidden by their success.
pub(crate) fn combine(mut outcomes: Vec<(CampaignId, Outcome)>) -> Outcome {
    if outcomes.len() == 1 {
        return outcomes.remove(0).1;
    }
    let campaigns = outcomes.len();
    let mut failed = Vec::new();
    let mut refused = Vec::new();
    for (campaign, outcome) in outcomes {
        match outcome {
            Outcome::Failed(error) => failed.push((campaign, error.to_string())),
            // The rules did not forbid these campaigns; they could not be processed, so the run has not done its work.
            Outcome::Refused(error @ (Error::Locked { .. } | Error::Store(_))) if campaigns > 1 => {
                failed.push((campaign, error.to_string()));
            }
            Outcome::Refused(error) => refused.push(error),
            // A campaign that began to execute ends only itself. Every other stop reason ended the whole run.
            Outcome::Stopped(reason) if reason != StopReason::CampaignExecuting => return Outcome::Stopped(reason),
            Outcome::Stopped(_) | Outcome::Succeeded => {}
        }
    }
    if !failed.is_empty() {
        return Outcome::Failed(Error::Campaigns { all: failed.len() == campaigns, failed });
    }
    let all_refused = refused.len() == campaigns;
    match refused.into_iter().next() {
        Some(error) if all_refused => Outcome::Refused(error),
        _ => Outcome::Succeeded,
    }
}
