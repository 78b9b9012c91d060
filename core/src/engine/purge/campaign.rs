//! One campaign of a run: takes its lease, chooses the scan, removes its numbers, and records the outcome in the ledger.

use std::time::Duration;

use crate::engine::control::Control;
use crate::engine::error::Error;
use crate::engine::purge::run::PurgeInProgress;
use crate::engine::report::{CampaignReport, Outcome};
use crate::model::campaign::Campaign;
use crate::model::pace::Lanes;
use crate::model::position::Position;
use crate::model::run::{RunState, Target};
use crate::model::walk::Walk;
use crate::store::db::{Backend, StoreError};
use crate::store::ledger::leases::Lease;
use crate::store::ledger::{CampaignRow, leases};
use crate::store::scan::choose;
use crate::store::scan::choose::ScanPlan;
use crate::store::scan::walker::ScanWalker;
use crate::store::scan::window::ScanScope;

impl PurgeInProgress<'_> {
    /// Works on one campaign: takes its lease, removes its numbers, and closes its row in the ledger.
    pub(super) fn campaign(
        &mut self,
        row: CampaignRow,
        target: Target,
        control: &mut Control<'_>,
    ) -> (CampaignReport, Outcome) {
        let mut report = CampaignReport::from_row(&row, target);
        self.began = (self.run.retries.total(), self.run.held);
        let outcome = self.leased(row, target, &mut report, control).unwrap_or_else(Outcome::Failed);
        let outcome = self.not_after_the_first_row(outcome);
        (report.retries, report.throttled) = self.retries_and_held(&report);
        report.state = outcome.state();
        report.reason = outcome.reason();
        let outcome = match self.close(&report, &outcome) {
            Ok(()) => outcome,
            // Report the first error: it is the cause.
            Err(_) if matches!(outcome, Outcome::Failed(_)) => outcome,
            Err(error) => Outcome::Failed(error.into()),
        };
        (report, outcome)
    }

    /// Retries and held time of the current campaign, including those of an earlier process of the same run.
    pub(super) fn retries_and_held(&self, report: &CampaignReport) -> (i64, Duration) {
        let (retries, held) = self.began;
        (report.retries + self.run.retries.total() - retries, report.throttled + self.run.held.saturating_sub(held))
    }

    fn leased(
        &mut self,
        row: CampaignRow,
        target: Target,
        report: &mut CampaignReport,
        control: &mut Control<'_>,
    ) -> Result<Outcome, Error> {
        let cursor = row.cursor.clone();
        let known_walk = row.walk;
        if !self.run.is_request() {
            self.run.ledger.campaign = Some(CampaignRow { state: RunState::Running, ..row });
        }
        let campaign = match self.found.take() {
            Some(campaign) => campaign,
            None => self.find_campaign(target)?,
        };
        if !self.run.is_request() {
            let (run_id, now) = (self.run.ledger.run.id, self.run.engine.store.clock().timestamp());
            if let Lease::HeldBy(holder) = self.run.retry(|conn| leases::take(conn, target.campaign_id, run_id, now))? {
                return Ok(Outcome::Refused(Error::locked(target.campaign_id, *holder)));
            }
        }
        self.chunks(&campaign, (known_walk, cursor), report, control)
    }

    fn chunks(
        &mut self,
        campaign: &Campaign,
        (known_walk, cursor): (Option<Walk>, Option<String>),
        report: &mut CampaignReport,
        control: &mut Control<'_>,
    ) -> Result<Outcome, Error> {
        if self.run.engine.rules.bars_campaign(campaign.status) {
            return Ok(Outcome::Refused(Error::CampaignExecuting));
        }
        let criteria = self.criteria();
        let backend = self.run.engine.store.backend();
        let from = cursor.as_deref().map(str::parse::<Position>).transpose().map_err(StoreError::from)?;
        // A cursor is only valid for the index that it was made on, so a resumed run keeps its index.
        let known = known_walk.or_else(|| Walk::of_value(&criteria)).or_else(|| from.as_ref().map(Walk::of_cursor));
        let ScanPlan { walk, rows_per_match, few } = match known {
            Some(walk) => ScanPlan::on(walk),
            None => self.run.retry(|conn| choose::choose(conn, campaign.id, &criteria))?,
        };
        report.walk = Some(walk);
        if let Some(row) = &mut self.run.ledger.campaign {
            row.walk = Some(walk);
        }
        let scope = ScanScope { campaign: campaign.id, criteria: &criteria, walk, backend };
        let mut walker = ScanWalker::new(scope, self.run.sizer.size(), rows_per_match, from);
        // With few matches the lanes' connections cost more than they save. Not on SQLite: a connection is cheap there, and
        // the next window is found during the pause after a chunk.
        let few = few && backend != Backend::Sqlite && self.run.engine.pace.lanes == Lanes::ONE;
        if self.run.is_request() || few {
            self.one_by_one(&mut walker, report, control)
        } else {
            self.in_lanes(walker, report, control)
        }
    }

    /// Records the outcome in the campaign's row, and releases the lease.
    fn close(&mut self, report: &CampaignReport, outcome: &Outcome) -> Result<(), StoreError> {
        let Some(row) = &mut self.run.ledger.campaign else { return Ok(()) };
        row.retries = report.retries;
        (row.sql_ms, row.slowest_chunk_ms, row.throttled_ms) =
            (ms(report.sql), ms(report.slowest_chunk), ms(report.throttled));
        self.run.close_campaign(outcome)?;
        let (run_id, campaign) = (self.run.ledger.run.id, report.target.campaign_id);
        self.run.retry(|conn| leases::release(conn, campaign, run_id))
    }
}

pub(super) fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
