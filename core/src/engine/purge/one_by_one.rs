//! Sequential execution: each chunk is found, removed and recorded in the ledger before the next one is looked for.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use chrono::NaiveDateTime;

use crate::engine::control::Control;
use crate::engine::error::Error;
use crate::engine::purge::campaign::ms;
use crate::engine::purge::run::PurgeInProgress;
use crate::engine::report::{CampaignReport, Outcome, result_code};
use crate::model::run::{Counts, Target};
use crate::model::stop_reason::StopReason;
use crate::store::db::retry::retry;
use crate::store::db::{AnyConnection, StoreError, Transient, commit_once};
use crate::store::ledger::{self, LedgerState, LedgerUpdate};
use crate::store::scan::walker::ScanWalker;
use crate::store::scan::window::Window;
use crate::store::tables::chunk::{self, NotRemoved, Removal, Removed};

impl PurgeInProgress<'_> {
    /// Removes what a scan finds, chunk by chunk.
    pub(super) fn one_by_one(
        &mut self,
        walker: &mut ScanWalker<'_>,
        report: &mut CampaignReport,
        control: &mut Control<'_>,
    ) -> Result<Outcome, Error> {
        loop {
            if let Some(reason) = self.run.hold(Some(report.target.campaign_id.get()), control)? {
                return Ok(Outcome::Stopped(reason));
            }
            if let ControlFlow::Break(outcome) = self.one(walker, Vec::new(), report, control)? {
                return Ok(outcome);
            }
            self.run.rest();
        }
    }

    /// Finds and removes the next window, and moves the scan behind it. Returns the campaign's outcome if it ends here.
    ///
    /// `in_doubt`: earlier attempts at this window whose COMMIT returned no answer. The ledger is checked for them first.
    pub(super) fn one(
        &mut self,
        walker: &mut ScanWalker<'_>,
        in_doubt: Vec<Removed>,
        report: &mut CampaignReport,
        control: &mut Control<'_>,
    ) -> Result<ControlFlow<Outcome>, Error> {
        let begun = Instant::now();
        let removed = match self.remove(walker, in_doubt, report)? {
            ControlFlow::Continue(removed) => removed,
            ControlFlow::Break(end) => return self.outcome_of(&end, report.target).map(ControlFlow::Break),
        };
        let is_last = walker.advance(&removed.window);
        self.committed(removed, begun.elapsed(), report, control);
        Ok(if is_last { ControlFlow::Break(Outcome::Succeeded) } else { ControlFlow::Continue(()) })
    }

    fn outcome_of(&self, end: &End, target: Target) -> Result<Outcome, Error> {
        Ok(match end {
            End::ScanEnded => Outcome::Succeeded,
            End::BoundReached(reason) => Outcome::Stopped(reason.clone()),
            End::NotRemoved(NotRemoved::CampaignExecuting) if self.run.ledger.run.deleted == 0 => {
                Outcome::Refused(Error::CampaignExecuting)
            }
            End::NotRemoved(NotRemoved::CampaignExecuting) => Outcome::Stopped(StopReason::CampaignExecuting),
            End::NotRemoved(NotRemoved::CampaignGone) => {
                return Err(Error::NoSuchCampaign { vdn: target.vdn_id, campaign: target.campaign_id });
            }
        })
    }

    /// Adds a committed chunk to the run and the report.
    pub(super) fn committed(
        &mut self,
        removed: Removed,
        took: Duration,
        report: &mut CampaignReport,
        control: &mut Control<'_>,
    ) {
        self.run.ledger = *removed.ledger;
        report.add(&removed.counts, took);
        self.run.learn(Some(report.target.campaign_id.get()), removed.counts, took, control);
    }

    /// Finds the next window and removes it. After a lock timeout the next attempt uses half the chunk size: a smaller chunk
    /// needs fewer locks.
    fn remove(
        &mut self,
        walker: &mut ScanWalker<'_>,
        mut in_doubt: Vec<Removed>,
        report: &CampaignReport,
    ) -> Result<ControlFlow<End, Removed>, StoreError> {
        let (store, rules, patience) = (&self.run.engine.store, self.run.engine.rules, self.run.patience());
        let (ledger, is_request, left) = (self.run.ledger.clone(), self.run.is_request(), self.rows_left());
        let bound_reached = self.max_rows_reached();
        let spent = self.spent(report);
        let sizer = &mut self.run.sizer;
        let mut attempt = |conn: &mut AnyConnection, committing: &mut Option<Removed>| {
            walker.resize(sizer.size(), left);
            let Some(window) = walker.window(conn)? else { return Ok(ControlFlow::Break(End::ScanEnded)) };
            if window.removable > 0
                && let Some(reason) = &bound_reached
            {
                return Ok(ControlFlow::Break(End::BoundReached(reason.clone())));
            }
            let now = store.clock().timestamp();
            let archive_into = ledger.run.archive_into();
            let (scope, catalogue) = (*walker.scope(), store.catalogue());
            let removal = Removal { scope, window: &window, rules, archive_into, now, catalogue };
            let removed = chunk::remove(conn, &removal, committing, |counts| {
                let mut update = spent.update(ledger.clone(), counts, &window, now);
                // A request ends in the transaction of its last chunk. Most requests have one chunk, and so one COMMIT.
                if window.last && is_request {
                    let code = result_code(&update.next.run.counts());
                    update.next.run.end(Outcome::Succeeded.run_end(Some(code)), now);
                }
                Ok(update)
            });
            if removed.as_ref().is_err_and(|error| error.is_transient() == Some(Transient::LockTimeout)) {
                sizer.halve();
            }
            Ok(removed?.map_break(End::NotRemoved))
        };
        let is_committed = |conn: &mut AnyConnection, removed: &Removed| ledger::is_saved(conn, &removed.ledger);
        retry(store, patience, &mut self.run.retries, |conn| {
            commit_once(conn, &mut in_doubt, is_committed, ControlFlow::Continue, &mut attempt)
        })
    }

    /// The retries and times of the campaign so far.
    pub(super) fn spent(&self, report: &CampaignReport) -> Spent {
        let (retries, throttled) = self.retries_and_held(report);
        Spent { retries, throttled, sql: report.sql, slowest_chunk: report.slowest_chunk }
    }
}

/// Why no further chunk was removed.
enum End {
    /// The scan has ended.
    ScanEnded,
    /// There is more to remove, but a bound of the run is reached.
    BoundReached(StopReason),
    NotRemoved(NotRemoved),
}

/// The retries and times of a campaign before a chunk. They are written to the ledger with the chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spent {
    retries: i64,
    throttled: Duration,
    sql: Duration,
    slowest_chunk: Duration,
}

impl Spent {
    /// The change of the ledger by a chunk.
    pub(super) fn update(
        &self,
        before: LedgerState,
        counts: &Counts,
        window: &Window,
        now: NaiveDateTime,
    ) -> LedgerUpdate {
        let mut next = before.after(counts, &window.upto.to_string(), now);
        if let Some(row) = &mut next.campaign {
            row.retries = self.retries;
            (row.sql_ms, row.slowest_chunk_ms, row.throttled_ms) =
                (ms(self.sql), ms(self.slowest_chunk), ms(self.throttled));
        }
        LedgerUpdate { before, next }
    }
}
