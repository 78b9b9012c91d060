//! The loop that removes numbers, for all three kinds of user. It knows no SQL and prints nothing.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::campaign::CampaignStatus;
use crate::error::Error;
use crate::result_code::ResultCode;
use crate::rules::OngoingTask;
use crate::run::{Counts, NewRun, RunKind, RunState};
use crate::store::chunk::{self, Chunk};
use crate::store::retry::retry;
use crate::store::runs::{self, Ending, LedgerRow};
use crate::store::walk::{self, Walk};
use crate::store::window::{Scope, Walker, Window};
use crate::store::{Store, StoreError, campaigns};

/// What a run is made with.
#[derive(Debug, Clone)]
pub struct Engine {
    /// The database.
    pub store: Store,
    /// How the rule of the ongoing task is read.
    pub rules: OngoingTask,
    /// Numbers that one transaction looks at, at most.
    pub chunk_size: NonZeroUsize,
}

/// The caller's hand on a run.
pub struct Control<'a> {
    /// Asked before each chunk: whether to stop, and why.
    pub stop: &'a dyn Fn() -> Option<StopReason>,
    /// Told after each chunk.
    pub progress: Box<dyn FnMut(&Progress) + 'a>,
}

impl Control<'static> {
    /// Lets a run go to its end, unwatched.
    #[must_use]
    pub fn unattended() -> Self {
        Self { stop: &|| None, progress: Box::new(|_| ()) }
    }
}

impl fmt::Debug for Control<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

/// Why a run stopped between two chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// Somebody asked it to.
    Person,
    /// The campaign began to execute, which bars all its numbers.
    CampaignExecuting,
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Person => "stopped by a person",
            Self::CampaignExecuting => "the campaign began to execute",
        })
    }
}

/// Where a run stands after a chunk.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The run's id in the ledger.
    pub run_id: i64,
    /// All chunks so far.
    pub counts: Counts,
    /// How many chunks those were.
    pub chunks: i64,
    /// Attempts that had to be made again.
    pub retries: i64,
    /// How long the last chunk took, its window included.
    pub last_chunk: Duration,
}

/// What a run did.
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
    /// Attempts that had to be made again.
    pub retries: i64,
    /// Which index led. `None` when the run was refused before one was chosen.
    pub walk: Option<Walk>,
    /// How long the first chunk took.
    pub first_chunk: Duration,
    /// How long the last chunk took.
    pub last_chunk: Duration,
    /// How long the slowest chunk took.
    pub slowest_chunk: Duration,
}

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// All that matched has been looked at.
    Succeeded,
    /// Between two chunks.
    Stopped(StopReason),
    /// Before the first row.
    Refused(Error),
    /// By an error. What was committed by then is counted.
    Failed(Error),
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

/// Something matches and all of it is barred: 0200028 (contract, section 2).
fn result_code(counts: &Counts) -> ResultCode {
    if counts.deleted == 0 && counts.barred.total() > 0 { ResultCode::StateForbids } else { ResultCode::Success }
}

/// How long a client that waits for an answer is let wait for a lock or a server to come back.
const REQUEST_PATIENCE: Duration = Duration::from_secs(10);
/// How long a sweep waits: a database server restarts in this time.
const SWEEP_PATIENCE: Duration = Duration::from_secs(120);

/// Removes what a run asks for, in chunks, each one transaction.
///
/// # Errors
/// Only while nothing has begun: no such campaign, or the database cannot be reached. After that the report says
/// how the run ended.
pub fn purge(engine: &Engine, new: &NewRun, control: &mut Control<'_>) -> Result<PurgeReport, Error> {
    let store = &engine.store;
    let patience = if new.kind == RunKind::Request { REQUEST_PATIENCE } else { SWEEP_PATIENCE };
    let mut retries = 0;
    let found = retry(store, patience, &mut retries, |conn| campaigns::find(conn, new.vdn_id, new.campaign_id))?;
    let campaign = found.ok_or(Error::NoSuchCampaign { vdn: new.vdn_id, campaign: new.campaign_id })?;

    let row = LedgerRow::new(store.ids().next_id(), new, store.clock().timestamp())?;
    let mut run = Running { engine, new, patience, row, saved: false, report: PurgeReport::new(retries) };
    run.report.run_id = run.row.id;
    let outcome = run.all_chunks(campaign.status, control).unwrap_or_else(Outcome::Failed);
    Ok(run.finish(outcome))
}

/// A run in progress.
struct Running<'a> {
    engine: &'a Engine,
    new: &'a NewRun,
    patience: Duration,
    /// The ledger's row, as it is there once `saved`.
    row: LedgerRow,
    saved: bool,
    report: PurgeReport,
}

impl Running<'_> {
    fn all_chunks(&mut self, status: CampaignStatus, control: &mut Control<'_>) -> Result<Outcome, Error> {
        let Engine { store, rules, chunk_size } = self.engine;
        if rules.bars_campaign(status) {
            return Ok(Outcome::Refused(Error::CampaignExecuting));
        }
        if self.new.kind != RunKind::Request {
            self.save(self.row.clone())?;
        }
        let (campaign, criteria) = (self.new.campaign_id, &self.new.criteria);
        let walk = self.retry(|conn| walk::choose(conn, campaign, criteria))?;
        self.report.walk = Some(walk);
        let scope = Scope { campaign, criteria, walk, backend: store.backend() };
        let mut walker = Walker::new(scope, *chunk_size);
        while !walker.ended() {
            if let Some(reason) = (control.stop)() {
                return Ok(Outcome::Stopped(reason));
            }
            let begun = Instant::now();
            let Some(window) = self.retry(|conn| walker.window(conn))? else { break };
            match self.remove(&scope, &window)? {
                Chunk::Done(counts, row) => {
                    self.row = *row;
                    self.saved = true;
                    self.report.add(counts, begun.elapsed());
                }
                Chunk::CampaignExecuting if self.report.counts.deleted == 0 => {
                    return Ok(Outcome::Refused(Error::CampaignExecuting));
                }
                Chunk::CampaignExecuting => return Ok(Outcome::Stopped(StopReason::CampaignExecuting)),
                Chunk::CampaignGone => {
                    return Err(Error::NoSuchCampaign { vdn: self.new.vdn_id, campaign: self.new.campaign_id });
                }
            }
            (control.progress)(&self.report.progress());
            walker.advance(&window);
        }
        Ok(Outcome::Succeeded)
    }

    fn remove(&mut self, scope: &Scope<'_>, window: &Window) -> Result<Chunk, StoreError> {
        let now = self.engine.store.clock().timestamp();
        let rules = self.engine.rules;
        let (row, before, is_request) = (self.row.clone(), self.report.counts, self.new.kind == RunKind::Request);
        let account = |counts: &Counts| {
            let mut next = row.clone();
            next.add(counts);
            next.chunks += 1;
            next.cursor = Some(window.upto.to_string());
            next.heartbeat_at = now;
            // A request ends in the transaction of its last chunk: for most that is the only one.
            if window.last && is_request {
                let mut total = before;
                total += *counts;
                next.finish(&succeeded(Some(result_code(&total))), now);
            }
            next
        };
        let saved = self.saved.then_some(&row);
        let mut in_doubt = Vec::new();
        let (store, patience) = (&self.engine.store, self.patience);
        retry(store, patience, &mut self.report.retries, |conn| {
            chunk::remove(conn, scope, window, rules, (saved, now), account, &mut in_doubt)
        })
    }

    fn finish(mut self, outcome: Outcome) -> PurgeReport {
        self.report.outcome = outcome;
        let code = (self.new.kind == RunKind::Request).then(|| self.report.result_code());
        let ending = match &self.report.outcome {
            Outcome::Succeeded => succeeded(code),
            Outcome::Stopped(reason) => {
                Ending { state: RunState::Stopped, stop_reason: Some(reason.to_string()), ..succeeded(code) }
            }
            Outcome::Refused(error) => {
                Ending { state: RunState::Refused, stop_reason: Some(error.to_string()), ..succeeded(code) }
            }
            Outcome::Failed(error) => {
                Ending { state: RunState::Failed, error: Some(error.to_string()), ..succeeded(code) }
            }
        };
        let mut last = self.row.clone();
        last.finish(&ending, self.engine.store.clock().timestamp());
        if last.is_same_ending(&self.row) {
            return self.report;
        }
        match (self.save(last), self.report.outcome) {
            (Ok(()), outcome) => self.report.outcome = outcome,
            // The database is gone: the first error is the one to tell, and the ledger still says "running".
            (Err(error), Outcome::Failed(first)) => {
                tracing::warn!(run_id = self.row.id, %error, "the end of the run could not be recorded");
                self.report.outcome = Outcome::Failed(first);
            }
            (Err(error), _) => self.report.outcome = Outcome::Failed(error.into()),
        }
        self.report
    }

    /// Writes the row by itself, outside a chunk.
    fn save(&mut self, next: LedgerRow) -> Result<(), StoreError> {
        let saved = self.saved.then(|| self.row.clone());
        self.retry(|conn| if runs::is_saved(conn, &next)? { Ok(()) } else { runs::save(conn, saved.as_ref(), &next) })?;
        self.row = next;
        self.saved = true;
        Ok(())
    }

    fn retry<T>(
        &mut self,
        attempt: impl FnMut(&mut crate::store::AnyConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        retry(&self.engine.store, self.patience, &mut self.report.retries, attempt)
    }
}

fn succeeded(code: Option<ResultCode>) -> Ending {
    let result_code = code.map(|code| code.as_str().to_owned());
    Ending { state: RunState::Succeeded, stop_reason: None, error: None, result_code }
}

impl PurgeReport {
    fn new(retries: i64) -> Self {
        Self {
            run_id: 0,
            outcome: Outcome::Succeeded,
            counts: Counts::default(),
            chunks: 0,
            retries,
            walk: None,
            first_chunk: Duration::ZERO,
            last_chunk: Duration::ZERO,
            slowest_chunk: Duration::ZERO,
        }
    }

    fn add(&mut self, counts: Counts, took: Duration) {
        if self.chunks == 0 {
            self.first_chunk = took;
        }
        self.counts += counts;
        self.chunks += 1;
        self.last_chunk = took;
        self.slowest_chunk = self.slowest_chunk.max(took);
    }

    fn progress(&self) -> Progress {
        Progress {
            run_id: self.run_id,
            counts: self.counts,
            chunks: self.chunks,
            retries: self.retries,
            last_chunk: self.last_chunk,
        }
    }
}
