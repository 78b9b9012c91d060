//! A run in progress: its ledger rows, chunk size, retries and state. Sweeps, requests, restores and prunes share it.

use std::thread;
use std::time::{Duration, Instant};

use crate::engine::control::{ChunkProgress, Control, Engine, Progress};
use crate::engine::error::Error;
use crate::engine::heartbeat::Heartbeat;
use crate::engine::report::Outcome;
use crate::engine::sizer::Sizer;
use crate::model::result_code::ResultCode;
use crate::model::run::{Counts, RunKind, RunState};
use crate::store::db::retry::{UNTIL_RESTARTED, retry};
use crate::store::db::{AnyConnection, Retries, StoreError, storage, write_once};
use crate::store::ledger;
use crate::store::ledger::{CampaignRow, LedgerState, LedgerUpdate, fit_stop_reason, runs};

/// How long a request retries while a lock is held or the server is unreachable. A client is waiting for the response.
pub(crate) const REQUEST_PATIENCE: Duration = Duration::from_secs(10);
/// The longest pause after a chunk. Commands to stop the run are read after the pause, and an operator should not wait
/// longer than this.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// A run in progress. Its row may not have been inserted into the ledger yet.
pub(crate) struct OpenRun<'a> {
    pub(crate) engine: &'a Engine,
    /// The ledger's rows as this process last wrote them.
    pub(crate) ledger: LedgerState,
    pub(crate) sizer: Sizer,
    pub(crate) retries: Retries,
    pub(crate) held: Duration,
    /// When the pause after the last chunk ends. Other clients of the database use it to work.
    pub(crate) rest_until: Instant,
    pub(crate) state: RunState,
}

impl<'a> OpenRun<'a> {
    pub(crate) fn new(engine: &'a Engine, ledger: LedgerState) -> Self {
        Self {
            engine,
            ledger,
            sizer: Sizer::new(engine.pace, engine.store.backend()),
            rest_until: Instant::now(),
            retries: Retries::default(),
            held: Duration::ZERO,
            state: RunState::Running,
        }
    }

    pub(crate) fn is_request(&self) -> bool {
        self.ledger.run.kind == RunKind::Request
    }

    pub(crate) fn patience(&self) -> Duration {
        if self.is_request() { REQUEST_PATIENCE } else { UNTIL_RESTARTED }
    }

    pub(crate) fn retry<T>(
        &mut self,
        attempt: impl FnMut(&mut AnyConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        retry(&self.engine.store, self.patience(), &mut self.retries, attempt)
    }

    /// Inserts the run and its campaigns into the ledger.
    pub(crate) fn insert(&mut self, campaigns: &[CampaignRow]) -> Result<(), StoreError> {
        let run = self.ledger.run.clone();
        let mut in_doubt = Vec::new();
        let is_committed = |conn: &mut AnyConnection| Ok(runs::find_row(conn, run.id)?.is_some());
        self.retry(|conn| {
            write_once(conn, &mut in_doubt, is_committed, |conn| {
                ledger::insert_run(conn, &run)?;
                ledger::insert_campaigns(conn, campaigns)
            })
        })?;
        self.ledger.saved = true;
        Ok(())
    }

    /// The error if a table could lose numbers, for example because its storage engine cannot roll back.
    pub(crate) fn refused_by_tables(&mut self) -> Result<Option<Error>, Error> {
        let found = self.retry(storage::find_unsafe)?;
        Ok(found.into_iter().next().map(|table| StoreError::from(table).into()))
    }

    /// Records the end of the run in the ledger. If that fails, the returned outcome is the failure.
    pub(crate) fn end(&mut self, outcome: Outcome, code: Option<ResultCode>) -> Outcome {
        let mut last = self.ledger.clone();
        last.campaign = None;
        last.run.end(outcome.run_end(code), self.engine.store.clock().timestamp());
        // A run that a bound refused has removed nothing. Its keys are released, so that the client can repeat the request
        // when fewer numbers match.
        if matches!(outcome, Outcome::Refused(Error::Bound(_))) && !last.saved {
            (last.run.request_key, last.run.idempotency_key) = (None, None);
        }
        // The last chunk of a request has already recorded its end, and a run whose key is taken has no row.
        let is_recorded = matches!(outcome, Outcome::Failed(Error::Store(StoreError::KeyTaken)))
            || self.ledger.saved
                && (last.run.state, last.run.result_code) == (self.ledger.run.state, self.ledger.run.result_code);
        if is_recorded {
            return outcome;
        }
        match self.save(last) {
            Ok(()) => outcome,
            Err(error) => {
                if !matches!(error, StoreError::KeyTaken) {
                    tracing::warn!(run_id = self.ledger.run.id, %error, "the end of the run could not be recorded");
                }
                // Report the first error: it is the cause.
                if matches!(outcome, Outcome::Failed(_)) { outcome } else { Outcome::Failed(error.into()) }
            }
        }
    }

    /// Writes the run's ledger rows in a separate transaction, outside a chunk.
    pub(crate) fn save(&mut self, next: LedgerState) -> Result<(), StoreError> {
        let update = LedgerUpdate { before: self.ledger.clone(), next };
        let mut in_doubt = Vec::new();
        let is_committed = |conn: &mut AnyConnection| ledger::is_saved(conn, &update.next);
        self.retry(|conn| write_once(conn, &mut in_doubt, is_committed, |conn| ledger::save(conn, &update)))?;
        self.ledger = LedgerState { saved: true, ..update.next };
        Ok(())
    }

    /// Records the outcome of the current campaign in its ledger row.
    pub(crate) fn close_campaign(&mut self, outcome: &Outcome) -> Result<(), StoreError> {
        let mut next = self.ledger.clone();
        if let Some(row) = &mut next.campaign {
            row.state = outcome.state();
            row.outcome_code = Some(outcome.code());
            (row.stop_reason, row.error) = match outcome {
                Outcome::Failed(_) => (None, outcome.reason()),
                _ => (outcome.reason().as_deref().map(fit_stop_reason), None),
            };
        }
        self.save(next)?;
        self.ledger.campaign = None;
        Ok(())
    }

    /// Adapts the chunk size to a committed chunk, and reports the progress.
    pub(crate) fn learn(&mut self, campaign: Option<i64>, counts: Counts, took: Duration, control: &mut Control<'_>) {
        self.sizer.learn(counts.matched, took);
        self.rest_until = Instant::now() + self.sizer.rest(took).min(LONGEST_REST);
        let chunk = ChunkProgress { counts, took, next_size: self.sizer.size().get() };
        (control.progress)(&self.progress(campaign, Some(chunk)));
    }

    /// Waits until the pause after the last chunk is over.
    pub(crate) fn rest(&self) {
        thread::sleep(self.rest_until.saturating_duration_since(Instant::now()));
    }

    pub(crate) fn progress(&self, campaign: Option<i64>, chunk: Option<ChunkProgress>) -> Progress {
        let run = &self.ledger.run;
        Progress {
            run_id: run.id,
            campaign_id: campaign,
            state: self.state,
            held_by: run.throttled_by.clone(),
            counts: run.counts(),
            chunks: run.chunks,
            retries: self.retries.clone(),
            held: self.held,
            chunk,
        }
    }
}

/// Runs `work` while a thread writes the run's heartbeat.
pub(crate) fn with_heartbeat<T>(engine: &Engine, run_id: i64, work: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        let _heartbeat = Heartbeat::start(scope, &engine.store, run_id);
        work()
    })
}
