//! A run that is open in the ledger: its ledger, its pace, and the caller's hand on it. Sweeps, restores and prunes
//! share it.

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
use crate::store::db::{AnyConnection, Retries, StoreError, commit_once, storage, write_transaction};
use crate::store::ledger;
use crate::store::ledger::{CampaignRow, LedgerState, LedgerUpdate, fit_stop_reason, runs};

/// How long a client that waits for an answer is let wait for a lock or a server to come back.
pub(crate) const REQUEST_PATIENCE: Duration = Duration::from_secs(10);
/// The longest pause after a chunk: a person who wants the run to end should not wait for it.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// A run that is open in the ledger, or about to be.
pub(crate) struct OpenRun<'a> {
    pub(crate) engine: &'a Engine,
    /// The ledger's rows as this process last wrote them.
    pub(crate) ledger: LedgerState,
    pub(crate) sizer: Sizer,
    pub(crate) retries: Retries,
    pub(crate) held: Duration,
    /// Until when others are let work after the last chunk.
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

    /// Puts the run and its campaigns into the ledger.
    pub(crate) fn insert(&mut self, campaigns: &[CampaignRow]) -> Result<(), StoreError> {
        let run = self.ledger.run.clone();
        let mut in_doubt = Vec::new();
        let is_committed = |conn: &mut AnyConnection, (): &()| Ok(runs::find_row(conn, run.id)?.is_some());
        self.retry(|conn| {
            commit_once(
                conn,
                &mut in_doubt,
                is_committed,
                |()| (),
                |conn, committing| {
                    *committing = Some(());
                    write_transaction(conn, |conn| {
                        ledger::insert_run(conn, &run)?;
                        ledger::insert_campaigns(conn, campaigns)
                    })
                },
            )
        })?;
        self.ledger.saved = true;
        Ok(())
    }

    /// Why the tables may not be changed, if they may not.
    pub(crate) fn refused_by_tables(&mut self) -> Result<Option<Error>, Error> {
        let found = self.retry(storage::find_unsafe)?;
        Ok(found.into_iter().next().map(|table| StoreError::from(table).into()))
    }

    /// Ends the run in the ledger. The outcome is another one when that fails.
    pub(crate) fn end(&mut self, outcome: Outcome, code: Option<ResultCode>) -> Outcome {
        let mut last = self.ledger.clone();
        last.campaign = None;
        last.run.end(outcome.run_end(code), self.engine.store.clock().timestamp());
        // Nothing was done that could be done twice, and a repetition may find less to do.
        if matches!(outcome, Outcome::Refused(Error::Bound(_))) && !last.saved {
            (last.run.request_key, last.run.idempotency_key) = (None, None);
        }
        // The last chunk of a request has said so already; a run whose key is taken has no row.
        let is_told = matches!(outcome, Outcome::Failed(Error::Store(StoreError::KeyTaken)))
            || self.ledger.saved
                && (last.run.state, last.run.result_code) == (self.ledger.run.state, self.ledger.run.result_code);
        if is_told {
            return outcome;
        }
        match self.save(last) {
            Ok(()) => outcome,
            Err(error) => {
                if !matches!(error, StoreError::KeyTaken) {
                    tracing::warn!(run_id = self.ledger.run.id, %error, "the end of the run could not be recorded");
                }
                // The first error is the one to tell.
                if matches!(outcome, Outcome::Failed(_)) { outcome } else { Outcome::Failed(error.into()) }
            }
        }
    }

    /// Writes the run's rows in a transaction of their own, outside a chunk.
    pub(crate) fn save(&mut self, next: LedgerState) -> Result<(), StoreError> {
        let update = LedgerUpdate { before: self.ledger.clone(), next };
        let mut in_doubt = Vec::new();
        let is_committed = |conn: &mut AnyConnection, (): &()| ledger::is_saved(conn, &update.next);
        self.retry(|conn| {
            commit_once(
                conn,
                &mut in_doubt,
                is_committed,
                |()| (),
                |conn, committing| {
                    *committing = Some(());
                    write_transaction(conn, |conn| ledger::save(conn, &update))
                },
            )
        })?;
        self.ledger = LedgerState { saved: true, ..update.next };
        Ok(())
    }

    /// Closes the row of the campaign under way.
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

    /// Learns from a chunk and reports it.
    pub(crate) fn learn(&mut self, campaign: Option<i64>, counts: Counts, took: Duration, control: &mut Control<'_>) {
        self.sizer.learn(counts.matched, took);
        self.rest_until = Instant::now() + self.sizer.rest(took).min(LONGEST_REST);
        let chunk = ChunkProgress { counts, took, next_size: self.sizer.size().get() };
        (control.progress)(&self.progress(campaign, Some(chunk)));
    }

    /// Lets others work after the last chunk.
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

/// Does `work` while the ledger hears that the run is alive.
pub(crate) fn with_heartbeat<T>(engine: &Engine, run_id: i64, work: impl FnOnce() -> T) -> T {
    thread::scope(|scope| {
        let _heartbeat = Heartbeat::start(scope, &engine.store, run_id);
        work()
    })
}
