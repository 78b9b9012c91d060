//! A run: it is opened in the ledger, goes through its campaigns, and ends.

use std::time::Duration;

use crate::engine::control::{Control, Engine};
use crate::engine::error::Error;
use crate::engine::open_run::{OpenRun, with_heartbeat};
use crate::engine::report::{CampaignReport, Outcome, PurgeReport};
use crate::engine::{preview, report};
use crate::model::bounds::{Bounds, Share};
use crate::model::campaign::Campaign;
use crate::model::criteria::Criteria;
use crate::model::run::{NewRun, RunKind, RunState, Target};
use crate::model::stop_reason::StopReason;
use crate::store::db::{StoreError, Transient, columns};
use crate::store::ledger::{CampaignRow, LedgerState, RunRow, controls, runs};
use crate::store::tables::{campaigns, numbers};

/// Removes what a run asks for, in chunks, each one transaction.
///
/// # Errors
/// Only while nothing has begun: no such campaign (where the run has one), another run has its key, or the database cannot
/// be reached. After that the report says how the run ended.
pub fn purge(engine: &Engine, new: &NewRun, control: &mut Control<'_>) -> Result<PurgeReport, Error> {
    purge_as(engine, engine.store.ids().next_id(), new, control)
}

/// As [`purge`], under this id.
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
    // A request finds out with its first row in the ledger, whatever it says.
    if let Outcome::Failed(Error::Store(StoreError::KeyTaken)) = report.outcome {
        return Err(key_taken(StoreError::KeyTaken, new));
    }
    Ok(report)
}

/// The database does not say portably which of the two keys it was: the caller looks both up.
fn key_taken(error: StoreError, new: &NewRun) -> Error {
    match (error, new.key.as_deref().or(new.idempotency_key())) {
        (StoreError::KeyTaken, Some(key)) => Error::KeyTaken(key.to_owned()),
        (error, _) => error.into(),
    }
}

/// Goes on with a run that was stopped, failed, or whose process died, from where it was.
///
/// # Errors
/// [`Error::NotResumable`], or the database cannot be reached. After that the report says how the run ended.
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
                "it is {state}; {} last reported at {} UTC, and is taken for dead after {} seconds without a word",
                found.owner,
                found.heartbeat_at,
                runs::DEAD_AFTER.num_seconds()
            )));
        }
        state => return Err(refuse(format!("it is {state}: there is nothing left of it to do"))),
    }
    if matches!(found.kind, RunKind::Restore | RunKind::Prune) {
        return Err(refuse(format!("a {} goes on when the same command is given again", found.kind)));
    }
    let plan = Plan::of(&found, campaigns, bounds)?;
    let mut conn = engine.store.connection()?;
    let taken = runs::take_over(&mut conn, &found, now)?;
    let row = taken.ok_or_else(|| refuse("somebody else has just taken it over".to_owned()))?;
    // A cancel that has ended the run is spent; one that its dead process never heard still stands.
    if found.state != RunState::Interrupted {
        controls::forget(&mut conn, run_id)?;
    }
    drop(conn);
    let mut purge = PurgeInProgress::new(engine, plan, LedgerState { run: row, campaign: None, saved: true });
    let outcome = purge.work(control);
    Ok(purge.finish(outcome))
}

/// What a run has to do, wherever it comes from.
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
        // A request has one campaign and no row for it: its own row says where it was.
        if let (RunKind::Request, Some(vdn_id), Some(campaign_id)) = (run.kind, run.vdn_id.0, run.campaign_id) {
            let row = CampaignRow::new(run.id, Target { vdn_id, campaign_id });
            campaigns = vec![CampaignRow { cursor: run.cursor.clone(), ..row }];
        }
        Ok(Self { criteria, bounds, campaigns })
    }
}

/// A purge in progress: its run in the ledger, and what is left to do.
pub(super) struct PurgeInProgress<'a> {
    pub(super) run: OpenRun<'a>,
    plan: Plan,
    /// The campaign of a run that has one: it was looked for before the run was opened.
    pub(super) found: Option<Campaign>,
    /// The run's retries and time held when the campaign under way was begun.
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

    /// Numbers that may still go.
    pub(super) fn rows_left(&self) -> Option<i64> {
        self.plan.bounds.max_rows.map(|max| max - self.run.ledger.run.deleted)
    }

    pub(super) fn max_rows(&self) -> StopReason {
        StopReason::MaxRows(self.plan.bounds.max_rows.unwrap_or_default())
    }

    /// The work itself, with a heartbeat beside it.
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

    /// What keeps a sweep from its first row: tables that differ, a bound that is exceeded.
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
        let mut shares = Vec::new();
        for row in &self.plan.campaigns {
            let target = row.target();
            let (engine, criteria, count_all) =
                (self.run.engine, &self.plan.criteria, self.plan.bounds.max_percent.is_some());
            let found = self.run.retry(|conn| {
                let preview = match preview::look(engine, conn, target, criteria, &|| false) {
                    Err(Error::Store(error)) => return Err(error),
                    // What becomes of a campaign that is not there is told when its turn comes.
                    Err(_) | Ok(None) => return Ok(None),
                    Ok(Some(preview)) => preview,
                };
                let all = if count_all { numbers::count(conn, target.campaign_id)? } else { 0 };
                Ok(Some((preview.removable, all)))
            })?;
            let Some((removable, all)) = found else { continue };
            shares.push(Share { campaign_id: target.campaign_id, removable, all });
        }
        Ok(self.plan.bounds.check(&shares).err().map(Error::Bound))
    }

    /// A run that is resumed has removed something: what would have refused it ends it in a way that can be resumed.
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

    /// Where there are several, one may be refused before its first row though others are done.
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

/// A stop is meant for the whole run, and without a database there is no point in trying the next campaign.
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
