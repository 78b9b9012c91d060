//! One chunk after another, each found, removed and accounted for before the next is looked for.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use chrono::NaiveDateTime;

use crate::engine::control::Control;
use crate::engine::error::Error;
use crate::engine::purge::campaign::ms;
use crate::engine::purge::run::Running;
use crate::engine::report::{CampaignReport, Outcome, result_code};
use crate::model::run::Counts;
use crate::model::stop_reason::StopReason;
use crate::store::db::retry::retry;
use crate::store::db::{AnyConnection, StoreError, Transient};
use crate::store::ledger::Books;
use crate::store::ledger::commit::Entry;
use crate::store::scan::walker::Walker;
use crate::store::scan::window::Window;
use crate::store::tables::chunk;
use crate::store::tables::chunk::{Chunk, ChunksInDoubt, Removal};

impl Running<'_> {
    /// Removes what a walk finds, chunk by chunk.
    pub(super) fn one_by_one(
        &mut self,
        walker: &mut Walker<'_>,
        report: &mut CampaignReport,
        control: &mut Control<'_>,
    ) -> Result<Outcome, Error> {
        loop {
            if let Some(reason) = self.open.hold(Some(report.target.campaign_id.get()), control)? {
                return Ok(Outcome::Stopped(reason));
            }
            if let ControlFlow::Break(outcome) = self.one(walker, Vec::new(), report, control)? {
                return Ok(outcome);
            }
            self.open.rest();
        }
    }

    /// Finds the next window, removes it, and leaves it behind. Says how the campaign ends, if it does here.
    ///
    /// `in_doubt`: an earlier attempt at this window, if its COMMIT got no answer.
    pub(super) fn one(
        &mut self,
        walker: &mut Walker<'_>,
        in_doubt: ChunksInDoubt,
        report: &mut CampaignReport,
        control: &mut Control<'_>,
    ) -> Result<ControlFlow<Outcome>, Error> {
        let begun = Instant::now();
        let (chunk, window) = self.remove(walker, in_doubt, report)?;
        let end = |outcome| Ok(ControlFlow::Break(outcome));
        let (counts, books) = match chunk {
            Chunk::Done(counts, books) => (counts, books),
            Chunk::CampaignExecuting if self.open.books.run.deleted == 0 => {
                return end(Outcome::Refused(Error::CampaignExecuting));
            }
            Chunk::CampaignExecuting => return end(Outcome::Stopped(StopReason::CampaignExecuting)),
            Chunk::CampaignGone => {
                let (vdn, campaign) = (report.target.vdn_id, report.target.campaign_id);
                return Err(Error::NoSuchCampaign { vdn, campaign });
            }
            Chunk::WalkEnded => return end(Outcome::Succeeded),
            Chunk::BoundReached => return end(Outcome::Stopped(self.max_rows())),
        };
        self.done(counts, *books, begun.elapsed(), report, control);
        if window.is_some_and(|window| walker.advance(&window)) {
            return end(Outcome::Succeeded);
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Takes note of a chunk that is committed.
    pub(super) fn done(
        &mut self,
        counts: Counts,
        books: Books,
        took: Duration,
        report: &mut CampaignReport,
        control: &mut Control<'_>,
    ) {
        self.open.books = books;
        report.add(&counts, took);
        self.open.learn(Some(report.target.campaign_id.get()), counts, took, control);
    }

    /// Finds the next window and removes it. An attempt that ran into a timeout is made again with half as many numbers.
    fn remove(
        &mut self,
        walker: &mut Walker<'_>,
        mut in_doubt: ChunksInDoubt,
        report: &CampaignReport,
    ) -> Result<(Chunk, Option<Window>), StoreError> {
        let (store, rules, patience) = (&self.open.engine.store, self.open.engine.rules, self.open.patience());
        let (books, is_request, left) = (self.open.books.clone(), self.open.is_request(), self.rows_left());
        let spent = self.spent(report);
        let sizer = &mut self.open.sizer;
        let mut attempt = |conn: &mut AnyConnection, in_doubt: &mut ChunksInDoubt| {
            walker.resize(sizer.size(), left);
            let Some(window) = walker.window(conn)? else { return Ok((Chunk::WalkEnded, None)) };
            if window.removable > 0 && left.is_some_and(|left| left <= 0) {
                return Ok((Chunk::BoundReached, None));
            }
            let now = store.clock().timestamp();
            let archive_into = books.run.archive_into();
            let (scope, catalogue) = (*walker.scope(), store.catalogue());
            let removal = Removal { scope, window: &window, rules, archive_into, now, catalogue };
            let removed = chunk::remove(conn, &removal, in_doubt, |counts| {
                let mut entry = spent.entry(books.clone(), counts, &window, now);
                // A request ends in the transaction of its last chunk: for most that is the only one.
                if window.last && is_request {
                    let code = result_code(&entry.next.run.counts());
                    entry.next.run.end(Outcome::Succeeded.run_end(Some(code)), now);
                }
                Ok(entry)
            });
            if removed.as_ref().is_err_and(|error| error.is_transient() == Some(Transient::LockTimeout)) {
                sizer.halve();
            }
            removed.map(|(chunk, window)| (chunk, Some(window)))
        };
        retry(store, patience, &mut self.open.retries, |conn| {
            let saved = |(chunk, window)| (chunk, Some(window));
            if let Some(found) = chunk::find_saved(conn, &in_doubt)? {
                return Ok(saved(found));
            }
            match attempt(conn, &mut in_doubt)? {
                done @ (Chunk::Done(..), _) => Ok(done),
                // Nothing to do may be what a chunk in doubt has left, which was saved after it was looked for.
                nothing => Ok(chunk::find_saved(conn, &in_doubt)?.map_or(nothing, saved)),
            }
        })
    }

    /// What the campaign has cost so far.
    pub(super) fn spent(&self, report: &CampaignReport) -> Spent {
        let (retries, throttled) = self.retries_and_held(report);
        Spent { retries, throttled, sql: report.sql, slowest_chunk: report.slowest_chunk }
    }
}

/// What a campaign has cost before a chunk. The ledger is told with the chunk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spent {
    retries: i64,
    throttled: Duration,
    sql: Duration,
    slowest_chunk: Duration,
}

impl Spent {
    /// A chunk as it goes into the ledger.
    pub(super) fn entry(&self, before: Books, counts: &Counts, window: &Window, now: NaiveDateTime) -> Entry {
        let mut next = before.after(counts, &window.upto.to_string(), now);
        if let Some(row) = &mut next.campaign {
            row.retries = self.retries;
            (row.sql_ms, row.slowest_chunk_ms, row.throttled_ms) =
                (ms(self.sql), ms(self.slowest_chunk), ms(self.throttled));
        }
        Entry { before, next }
    }
}
