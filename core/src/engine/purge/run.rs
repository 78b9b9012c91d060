//! A run: inserts itself into the ledger, works through its campaigns, and records its end.

use std::time::Duration;

use crate::engine::control::{Control, Engine};
use crate::engine::error::Error;
use crate::engine::open_run::{OpenRun, with_heartbeat};
use crate::engine::report::{CampaignReport, Outcome, PurgeReport};
use crate::engine::{preview, report};
use crate::model::bounds::{Bounds, CampaignRemoval};
use crate::model::campaign::Campaign;
use crate::model::criteria::Criteria;
use crate::model::run::{NewRun, RunKind, RunState, Target};
use crate::model::stop_reason::StopReason;
use crate::store::db::{StoreError, Transient, columns};
use crate::store::ledger::{CampaignRow, LedgerState, RunRow, controls, runs};
use crate::store::tables::{campaigns, numbers};

/// Removes the numbers that a run selects, in chunks, one transaction per chunk.
///
/// # Errors
/// Only before the run begins: the campaign does not exist (if the run has only one), another run has its key, or the
/// database is not reachable. After that the report contains the outcome.
pub fn purge(engine: &Engine, new: &NewRun, control: &mut Control<'_>) -> Result<PurgeReport, Error> {
    purge_as(engine, engine.store.ids().next_id(), new, control)
}

/// As [`purge`], with this run id.
pub(super) fn purge_as(
    engine: &Engine,
    run_id: i64,
    new: &NewRun,
    control: &mut Control<'_>,
) -> Result<PurgeReport, Error> {
    let row = RunRow::new(run_id, new, engine.store.clock().timestamp())?;
    let plan = Plan {
        criteria: new.criteria.clone(),
        bounds: new.bounds,
        campaigns: new.targets.iter().map(|target| CampaignRow::new(row.id, *target)).collect(),
    };
    let mut purge = PurgeInProgress::new(engine, plan, LedgerState { run: row, campaign: None, saved: false });
    if let [target] = new.targets[..] {
        purge.found = Some(purge.find_campaign(target)?);
    }
    if !purge.run.is_request() {
        let campaigns = purge.plan.campaigns.clone();
        purge.run.insert(&campaigns).map_err(|error| key_taken(error, new))?;
    }
    let outcome = purge.work(control);
    let report = purge.finish(outcome);
    // A sweep's row is inserted above. A request's row is inserted with its first chunk, or by `finish`.
    if let Outcome::Failed(Error::Store(StoreError::KeyTaken)) = report.outcome {
        return Err(key_taken(StoreError::KeyTaken, new));
    }
    Ok(report)
}

/// Databases do not report portably which unique key was violated, so the caller must look up both keys.
fn key_taken(error: StoreError, new: &NewRun) -> Error {
    match (error, new.key.as_deref().or(new.idempotency_key())) {
        (StoreError::KeyTaken, Some(key)) => Error::KeyTaken(key.to_owned()),
        (error, _) => error.into(),
    }
}

/// Resumes a run that was stopped, failed, or whose process died, at its cursor.
///
/// # Errors
/// [`Error::NotResumable`], or the database is not reachable. After that the report contains the outcome.
pub fn resume(engine: &Engine, run_id: i64, bounds: Bounds, control: &mut Control<'_>) -> Result<PurgeReport, Error> {
    let now = engine.store.clock().timestamp();
    let refuse = |reason: String| Error::NotResumable { run_id, reason };
    let (found, campaigns) = engine.store.with_connection(|conn| {
        runs::interrupt_dead(conn, now)?;
        Ok((runs::find_row(conn, run_id)?, runs::campaign_rows(conn, run_id)?))
    })?;
    let found = found.ok_or_else(|| refuse("it is not in the ledger".to_owned()))?;
    match found.state {
        RunState::Stopped | RunState::Failed | RunState::Interrupted => {}
        state if state.is_active() => {
            return Err(refuse(format!(
                "it is {state}; the last heartbeat of {} was at {} UTC. It is considered dead after {} seconds without one",
                found.owner,
                found.heartbeat_at,
                runs::DEAD_AFTER.num_seconds()
            )));
        }
        state => return Err(refuse(format!("it is {state}: nothing remains to be done"))),
    }
    if matches!(found.kind, RunKind::Restore | RunKind::Prune) {
        return Err(refuse(format!("it is a {}. Repeat its command to continue it", found.kind)));
    }
    let plan = Plan::of(&found, campaigns, bounds)?;
    let mut conn = engine.store.connection()?;
    let taken = runs::take_over(&mut conn, &found, now)?;
    let row = taken.ok_or_else(|| refuse("another process has just resumed it".to_owned()))?;
    // A cancel command that ended the run has been executed. One that a dead process did not read still applies.
    if found.state != RunState::Interrupted {
        controls::clear_request(&mut conn, run_id)?;
    }
    drop(conn);
    let mut purge = PurgeInProgress::new(engine, plan, LedgerState { run: row, campaign: None, saved: true });
    let outcome = purge.work(control);
    Ok(purge.finish(outcome))
}

/// What a run has to do. It comes from a new run or, on resume, from the ledger.
struct Plan {
    criteria: Criteria,
    bounds: Bounds,
    /// In the order in which they are worked on.
    campaigns: Vec<CampaignRow>,
}

impl Plan {
    /// The plan of a run that is in the ledger.
    fn of(run: &RunRow, mut campaigns: Vec<CampaignRow>, bounds: Bounds) -> Result<Self, Error> {
        let unreadable = |what: &dyn std::fmt::Display| StoreError::Unreadable(format!("run {}: {what}", run.id));
        let criteria = serde_json::from_str(&run.criteria).map_err(|error| unreadable(&error))?;
        // A request has no campaign row. The cursor is in its own row.
        if let (RunKind::Request, Some(vdn_id), Some(campaign_id)) = (run.kind, run.vdn_id.0, run.campaign_id) {
            let row = CampaignRow::new(run.id, Target { vdn_id, campaign_id });
            campaigns = vec![CampaignRow { cursor: run.cursor.clone(), ..row }];
        }
        Ok(Self { criteria, bounds, campaigns })
    }
}

/// A purge in progress: its run, and what remains to be done.
pub(super) struct PurgeInProgress<'a> {
    pub(super) run: OpenRun<'a>,
    plan: Plan,
    /// The campaign of a run that has only one. It was read before the run was inserted.
    pub(super) found: Option<Campaign>,
    /// The run's retries and held time when the current campaign began.
    pub(super) began: (i64, Duration),
    done: Vec<CampaignReport>,
}

impl<'a> PurgeInProgress<'a> {
    fn new(engine: &'a Engine, plan: Plan, ledger: LedgerState) -> Self {
        Self { run: OpenRun::new(engine, ledger), plan, found: None, began: (0, Duration::ZERO), done: Vec::new() }
    }

    pub(super) fn criteria(&self) -> Criteria {
        self.plan.criteria.clone()
    }

    /// Numbers that may still be removed under `max_rows`.
    pub(super) fn rows_left(&self) -> Option<i64> {
        self.plan.bounds.max_rows.map(|max| max - self.run.ledger.run.deleted)
    }

    /// Why no further number may be removed, if `max_rows` is reached.
    pub(super) fn max_rows_reached(&self) -> Option<StopReason> {
        self.plan.bounds.max_rows.filter(|max| self.run.ledger.run.deleted >= *max).map(StopReason::MaxRows)
    }

    /// Processes all campaigns, with a heartbeat thread. A request is too short for one.
    fn work(&mut self, control: &mut Control<'_>) -> Outcome {
        if self.run.is_request() {
            return self.all_campaigns(control).unwrap_or_else(Outcome::Failed);
        }
        let (engine, run_id) = (self.run.engine, self.run.ledger.run.id);
        with_heartbeat(engine, run_id, || self.all_campaigns(control).unwrap_or_else(Outcome::Failed))
    }

    fn all_campaigns(&mut self, control: &mut Control<'_>) -> Result<Outcome, Error> {
        if let Some(refused) = self.check_before_the_first_row()? {
            return Ok(self.not_after_the_first_row(Outcome::Refused(refused)));
        }
        let mut outcomes = Vec::new();
        for row in std::mem::take(&mut self.plan.campaigns) {
            let target = row.target();
            let (report, outcome) = if row.state == RunState::Succeeded {
                (CampaignReport::from_row(&row, target), Outcome::Succeeded)
            } else {
                self.campaign(row, target, control)
            };
            let ends = ends_the_run(&outcome);
            self.done.push(report);
            outcomes.push((target.campaign_id, outcome));
            if ends {
                break;
            }
        }
        Ok(report::combine(outcomes))
    }

    /// Checks that refuse a run before its first row: unsafe tables, history columns, bounds.
    fn check_before_the_first_row(&mut self) -> Result<Option<Error>, Error> {
        if !self.run.is_request() {
            if let Some(refused) = self.run.refused_by_tables()? {
                return Ok(Some(refused));
            }
            if self.run.ledger.run.archive_history
                && let Some(difference) = self.run.retry(columns::forbidding_archive)?
            {
                return Ok(Some(StoreError::from(difference).into()));
            }
        }
        if !self.plan.bounds.any() || self.run.ledger.run.chunks > 0 {
            return Ok(None);
        }
        let mut removals = Vec::new();
        for row in &self.plan.campaigns {
            let target = row.target();
            let (engine, criteria, count_all) =
                (self.run.engine, &self.plan.criteria, self.plan.bounds.max_percent.is_some());
            let found = self.run.retry(|conn| {
                let preview = match preview::preview_on(engine, conn, target, criteria, &|| false) {
                    Err(Error::Store(error)) => return Err(error),
                    // A missing campaign is reported when the run reaches it.
                    Err(_) | Ok(None) => return Ok(None),
                    Ok(Some(preview)) => preview,
                };
                let total = if count_all { Some(numbers::count(conn, target.campaign_id)?) } else { None };
                Ok(Some((preview.removable, total)))
            })?;
            let Some((removable, total)) = found else { continue };
            removals.push(CampaignRemoval { campaign_id: target.campaign_id, removable, total });
        }
        Ok(self.plan.bounds.check(&removals).err().map(Error::Bound))
    }

    /// "Refused" means that nothing was removed. For a resumed run that has removed numbers, a refusal becomes a stop or a
    /// failure, both of which can be resumed.
    pub(super) fn not_after_the_first_row(&self, outcome: Outcome) -> Outcome {
        match outcome {
            Outcome::Refused(Error::CampaignExecuting)
                if self.run.ledger.run.chunks > 0 && self.is_of_one_campaign() =>
            {
                Outcome::Stopped(StopReason::CampaignExecuting)
            }
            Outcome::Refused(error) if self.run.ledger.run.chunks > 0 && self.is_of_one_campaign() => {
                Outcome::Failed(error)
            }
            other => other,
        }
    }

    /// With several campaigns, one may be refused before its first row although others have been processed.
    fn is_of_one_campaign(&self) -> bool {
        self.run.ledger.run.campaign_id.is_some()
    }

    pub(super) fn find_campaign(&mut self, target: Target) -> Result<Campaign, Error> {
        let Target { vdn_id: vdn, campaign_id: campaign } = target;
        let found = self.run.retry(|conn| campaigns::find(conn, vdn, campaign))?;
        found.ok_or(Error::NoSuchCampaign { vdn, campaign })
    }

    fn finish(mut self, outcome: Outcome) -> PurgeReport {
        let run = &self.run.ledger.run;
        let mut report = PurgeReport {
            run_id: run.id,
            counts: run.counts(),
            chunks: run.chunks,
            retries: 0,
            campaigns: std::mem::take(&mut self.done),
            outcome,
        };
        let code = self.run.is_request().then(|| report.result_code());
        report.outcome = self.run.end(report.outcome, code);
        report.retries = self.run.retries.total();
        report
    }
}

/// Whether an outcome of a campaign ends the whole run: a stop applies to the run, and without a database the next campaign
/// would fail as well.
fn ends_the_run(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Stopped(reason) => *reason != StopReason::CampaignExecuting,
        Outcome::Failed(Error::Store(error)) => {
            matches!(error, StoreError::RunLost(_) | StoreError::KeyTaken | StoreError::Busy { .. })
                || error.is_transient() == Some(Transient::ConnectionLost)
        }
        Outcome::Failed(_) | Outcome::Refused(_) | Outcome::Succeeded => false,
    }
}
