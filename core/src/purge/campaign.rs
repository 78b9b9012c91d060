//! The chunks of one campaign.

use std::time::{Duration, Instant};

use super::report::{CampaignReport, Outcome, result_code};
use super::run::Running;
use super::{Control, StopReason};
use crate::campaign::Campaign;
use crate::error::Error;
use crate::run::{Counts, RunState, Target};
use crate::store::chunk::{self, Chunk};
use crate::store::leases::{self, Lease};
use crate::store::ledger::CampaignRow;
use crate::store::retry::retry;
use crate::store::walk::{self, Walk};
use crate::store::window::{Position, Scope, Walker, Window};
use crate::store::{StoreError, Transient};

impl Running<'_> {
    /// Works on one campaign: takes its lease, removes its numbers, and closes its row in the ledger.
    pub(super) fn campaign(
        &mut self,
        row: CampaignRow,
        target: Target,
        control: &mut Control<'_>,
    ) -> (CampaignReport, Outcome) {
        let mut report = CampaignReport::from_row(&row, target);
        self.began = (self.open.retries.total(), self.open.held);
        let outcome = self.leased(row, target, &mut report, control).unwrap_or_else(Outcome::Failed);
        let outcome = self.not_after_the_first_row(outcome);
        (report.retries, report.throttled) = self.retries_and_held(&report);
        report.state = outcome.state();
        report.reason = outcome.reason();
        let outcome = match self.close(&report, &outcome) {
            Ok(()) => outcome,
            // The first error is the one to tell.
            Err(_) if matches!(outcome, Outcome::Failed(_)) => outcome,
            Err(error) => Outcome::Failed(error.into()),
        };
        (report, outcome)
    }

    /// Of the campaign under way, an earlier process of the same run included.
    fn retries_and_held(&self, report: &CampaignReport) -> (i64, Duration) {
        let (retries, held) = self.began;
        (report.retries + self.open.retries.total() - retries, report.throttled + self.open.held.saturating_sub(held))
    }

    fn leased(
        &mut self,
        row: CampaignRow,
        target: Target,
        report: &mut CampaignReport,
        control: &mut Control<'_>,
    ) -> Result<Outcome, Error> {
        let cursor = row.cursor.clone();
        let known_walk = row.walk.as_deref().and_then(Walk::from_column);
        if !self.open.is_request() {
            self.open.books.campaign = Some(CampaignRow { state: RunState::Running.as_str().to_owned(), ..row });
        }
        let campaign = match self.found.take() {
            Some(campaign) => campaign,
            None => self.find_campaign(target)?,
        };
        if !self.open.is_request() {
            let (run_id, now) = (self.open.books.run.id, self.open.engine.store.clock().timestamp());
            if let Lease::HeldBy(holder) =
                self.open.retry(|conn| leases::take(conn, target.campaign_id, run_id, now))?
            {
                return Ok(Outcome::Refused(Error::locked(target.campaign_id, *holder)));
            }
        }
        self.chunks(&campaign, (known_walk, cursor), target, report, control)
    }

    fn chunks(
        &mut self,
        campaign: &Campaign,
        (known_walk, cursor): (Option<Walk>, Option<String>),
        target: Target,
        report: &mut CampaignReport,
        control: &mut Control<'_>,
    ) -> Result<Outcome, Error> {
        if self.open.engine.rules.bars_campaign(campaign.status) {
            return Ok(Outcome::Refused(Error::CampaignExecuting));
        }
        let criteria = self.criteria();
        let backend = self.open.engine.store.backend();
        let from = cursor.as_deref().map(str::parse::<Position>).transpose()?;
        // A cursor means a place on the walk that it was made on.
        let walk = match known_walk.or_else(|| from.and_then(|from| Walk::of_cursor(from, &criteria))) {
            Some(walk) => walk,
            None => self.open.retry(|conn| walk::choose(conn, campaign.id, &criteria))?,
        };
        report.walk = Some(walk);
        if let Some(row) = &mut self.open.books.campaign {
            row.walk = Some(walk.as_str().to_owned());
        }
        let scope = Scope { campaign: campaign.id, criteria: &criteria, walk, backend };
        let mut walker = Walker::new(scope, self.open.sizer.size(), from);
        loop {
            if let Some(reason) = self.open.hold(Some(campaign.id.get()), control)? {
                return Ok(Outcome::Stopped(reason));
            }
            let begun = Instant::now();
            let (chunk, window) = self.remove(&mut walker, report)?;
            let counts = match chunk {
                Chunk::Done(counts, books) => {
                    self.open.books = *books;
                    counts
                }
                Chunk::CampaignExecuting if self.open.books.run.deleted == 0 => {
                    return Ok(Outcome::Refused(Error::CampaignExecuting));
                }
                Chunk::CampaignExecuting => return Ok(Outcome::Stopped(StopReason::CampaignExecuting)),
                Chunk::CampaignGone => {
                    return Err(Error::NoSuchCampaign { vdn: target.vdn_id, campaign: target.campaign_id });
                }
                Chunk::WalkEnded => return Ok(Outcome::Succeeded),
                Chunk::BoundReached => return Ok(Outcome::Stopped(self.max_rows())),
            };
            let took = begun.elapsed();
            report.add(&counts, took);
            self.open.learn(Some(campaign.id.get()), counts, took, control);
            if window.is_some_and(|window| walker.advance(&window)) {
                return Ok(Outcome::Succeeded);
            }
            self.open.rest(took);
        }
    }

    /// Finds the next window and removes it. An attempt that ran into a timeout is made again with half as many numbers.
    fn remove(
        &mut self,
        walker: &mut Walker<'_>,
        report: &CampaignReport,
    ) -> Result<(Chunk, Option<Window>), StoreError> {
        let (store, rules, patience) = (&self.open.engine.store, self.open.engine.rules, self.open.patience());
        let (books, is_request, left) = (self.open.books.clone(), self.open.is_request(), self.rows_left());
        let so_far = books.run.counts();
        let (retries, held) = self.retries_and_held(report);
        let spent = (retries, report.sql, report.slowest_chunk, held);
        let mut in_doubt = Vec::new();
        let sizer = &mut self.open.sizer;
        let mut found = None;
        let chunk = retry(store, patience, &mut self.open.retries, |conn| {
            if let Some((chunk, window)) = chunk::find_saved(conn, &in_doubt)? {
                found = Some(window);
                return Ok(chunk);
            }
            walker.resize(sizer.size(), left);
            let Some(window) = walker.window(conn)? else { return Ok(Chunk::WalkEnded) };
            if window.removable > 0 && left.is_some_and(|left| left <= 0) {
                return Ok(Chunk::BoundReached);
            }
            let now = store.clock().timestamp();
            let account = |counts: &Counts| {
                let mut next = books.after(counts, &window.upto.to_string(), now);
                if let Some(row) = &mut next.campaign {
                    (row.sql_ms, row.slowest_chunk_ms, row.throttled_ms) = (ms(spent.1), ms(spent.2), ms(spent.3));
                    row.retries = spent.0;
                }
                // A request ends in the transaction of its last chunk: for most that is the only one.
                if window.last && is_request {
                    let mut total = so_far;
                    total += *counts;
                    next.run.end(&Outcome::Succeeded, Some(result_code(&total)), now);
                }
                next
            };
            let removed = chunk::remove(conn, walker.scope(), &window, rules, &books, account, now, &mut in_doubt);
            if removed.as_ref().is_err_and(|error| error.is_transient() == Some(Transient::LockTimeout)) {
                sizer.halve();
            }
            found = Some(window);
            removed
        })?;
        Ok((chunk, found))
    }

    /// Closes a campaign's row, and gives its lease back.
    fn close(&mut self, report: &CampaignReport, outcome: &Outcome) -> Result<(), StoreError> {
        let Some(row) = &mut self.open.books.campaign else { return Ok(()) };
        row.retries = report.retries;
        (row.sql_ms, row.slowest_chunk_ms, row.throttled_ms) =
            (ms(report.sql), ms(report.slowest_chunk), ms(report.throttled));
        self.open.close_campaign(outcome)?;
        let (run_id, campaign) = (self.open.books.run.id, report.target.campaign_id);
        self.open.retry(|conn| leases::release(conn, campaign, run_id))
    }
}

pub(super) fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
