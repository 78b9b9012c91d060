//! A run: it is opened in the ledger, goes through its campaigns, and ends.

use std::thread;
use std::time::Duration;

use super::heartbeat::Heartbeat;
use super::pace::Sizer;
use super::report::{self, CampaignReport, Outcome, PurgeReport};
use super::{ChunkProgress, Control, Engine, Progress, StopReason};
use crate::bounds::{Bounds, Share};
use crate::campaign::{Campaign, CampaignId, VdnId};
use crate::criteria::Criteria;
use crate::error::Error;
use crate::preview;
use crate::run::{NewRun, RunKind, RunState, Target};
use crate::store::ledger::{self, Books, CampaignRow, RunRow};
use crate::store::retry::{Retries, retry};
use crate::store::{AnyConnection, StoreError, Transient, campaigns, drift, numbers, runs};

/// How long a client that waits for an answer is let wait for a lock or a server to come back.
const REQUEST_PATIENCE: Duration = Duration::from_secs(10);
/// How long a sweep waits: a database server restarts in this time.
const SWEEP_PATIENCE: Duration = Duration::from_secs(120);

/// Removes what a run asks for, in chunks, each one transaction.
///
/// # Errors
/// Only while nothing has begun: no such campaign (where the run has one), another run has its key, or the database cannot
/// be reached. After that the report says how the run ended.
pub fn purge(engine: &Engine, new: &NewRun, control: &mut Control<'_>) -> Result<PurgeReport, Error> {
    let store = &engine.store;
    let row = RunRow::new(store.ids().next_id(), new, store.clock().timestamp())?;
    let plan = Plan {
        criteria: new.criteria.clone(),
        bounds: new.bounds,
        is_request: new.kind == RunKind::Request,
        campaigns: new.targets.iter().map(|target| CampaignRow::new(row.id, *target)).collect(),
    };
    let mut run = Running::new(engine, plan, Books { run: row, campaign: None, saved: false });
    if let [target] = new.targets[..] {
        run.found = Some(run.find_campaign(target)?);
    }
    if !run.plan.is_request {
        run.open().map_err(|error| key_taken(error, new.key.as_deref()))?;
    }
    let outcome = run.work(control);
    let report = run.finish(outcome);
    // A request finds out with its first row in the ledger, whatever it says.
    if let Outcome::Failed(Error::Store(StoreError::KeyTaken)) = report.outcome {
        return Err(key_taken(StoreError::KeyTaken, new.key.as_deref()));
    }
    Ok(report)
}

fn key_taken(error: StoreError, key: Option<&str>) -> Error {
    match (error, key) {
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
    let mut conn = engine.store.connection()?;
    runs::interrupt_dead(&mut conn, now)?;
    let found = runs::find_row(&mut conn, run_id)?.ok_or_else(|| refuse("it is not in the ledger".to_owned()))?;
    match RunState::from_column(&found.state) {
        Some(RunState::Stopped | RunState::Failed | RunState::Interrupted) => {}
        Some(state) if state.is_active() => {
            return Err(refuse(format!(
                "it is {state}; {} last reported at {} UTC, and is taken for dead after {} seconds without a word",
                found.owner,
                found.heartbeat_at,
                runs::DEAD_AFTER.num_seconds()
            )));
        }
        _ => return Err(refuse(format!("it is {}: there is nothing left of it to do", found.state))),
    }
    if [RunKind::Restore, RunKind::Prune].iter().any(|kind| kind.as_str() == found.kind) {
        return Err(refuse(format!("a {} goes on when the same command is given again", found.kind)));
    }
    let plan = Plan::of(&found, runs::campaign_rows(&mut conn, run_id)?, bounds)?;
    let taken = runs::take_over(&mut conn, &found, now)?;
    let row = taken.ok_or_else(|| refuse("somebody else has just taken it over".to_owned()))?;
    drop(conn);
    let mut run = Running::new(engine, plan, Books { run: row, campaign: None, saved: true });
    let outcome = run.work(control);
    Ok(run.finish(outcome))
}

/// What a run has to do, wherever it comes from.
struct Plan {
    criteria: Criteria,
    bounds: Bounds,
    is_request: bool,
    /// In the order in which they are worked on.
    campaigns: Vec<CampaignRow>,
}

impl Plan {
    /// The plan of a run that is in the ledger.
    fn of(run: &RunRow, mut campaigns: Vec<CampaignRow>, bounds: Bounds) -> Result<Self, Error> {
        let unreadable = |what: &dyn std::fmt::Display| StoreError::Unreadable(format!("run {}: {what}", run.id));
        let criteria = serde_json::from_str(&run.criteria).map_err(|error| unreadable(&error))?;
        let is_request = run.kind == RunKind::Request.as_str();
        // A request has one campaign and no row for it: its own row says where it was.
        if let (true, Some(campaign)) = (is_request, run.campaign_id) {
            let vdn_id = VdnId::try_from(i64::from(run.vdn_id)).map_err(|error| unreadable(&error))?;
            let campaign_id = CampaignId::try_from(campaign).map_err(|error| unreadable(&error))?;
            let row = CampaignRow::new(run.id, Target { vdn_id, campaign_id });
            campaigns = vec![CampaignRow { cursor: run.cursor.clone(), ..row }];
        }
        Ok(Self { criteria, bounds, is_request, campaigns })
    }
}

/// A run in progress.
pub(super) struct Running<'a> {
    pub(super) engine: &'a Engine,
    plan: Plan,
    patience: Duration,
    /// The ledger's rows as this process last wrote them.
    pub(super) books: Books,
    pub(super) sizer: Sizer,
    pub(super) retries: Retries,
    pub(super) held: Duration,
    pub(super) state: RunState,
    /// The campaign of a run that has one: it was looked for before the run was opened.
    pub(super) found: Option<Campaign>,
    done: Vec<CampaignReport>,
}

impl<'a> Running<'a> {
    fn new(engine: &'a Engine, plan: Plan, books: Books) -> Self {
        Self {
            engine,
            patience: if plan.is_request { REQUEST_PATIENCE } else { SWEEP_PATIENCE },
            plan,
            books,
            sizer: Sizer::new(engine.pace),
            retries: Retries::default(),
            held: Duration::ZERO,
            state: RunState::Running,
            found: None,
            done: Vec::new(),
        }
    }

    pub(super) fn is_request(&self) -> bool {
        self.plan.is_request
    }

    pub(super) fn criteria(&self) -> Criteria {
        self.plan.criteria.clone()
    }

    /// Numbers that may still go.
    pub(super) fn rows_left(&self) -> Option<i64> {
        self.plan.bounds.max_rows.map(|max| max - self.books.run.deleted)
    }

    pub(super) fn max_rows(&self) -> StopReason {
        StopReason::MaxRows(self.plan.bounds.max_rows.unwrap_or_default())
    }

    fn open(&mut self) -> Result<(), StoreError> {
        let (run, campaigns) = (self.books.run.clone(), self.plan.campaigns.clone());
        self.retry(|conn| {
            if runs::find_row(conn, run.id)?.is_some() {
                return Ok(());
            }
            crate::store::write_transaction(conn, |conn| {
                ledger::insert_run(conn, &run)?;
                ledger::insert_campaigns(conn, &campaigns)
            })
        })?;
        self.books.saved = true;
        Ok(())
    }

    /// The work itself, with a heartbeat beside it.
    fn work(&mut self, control: &mut Control<'_>) -> Outcome {
        let (store, run_id) = (&self.engine.store, self.books.run.id);
        thread::scope(|scope| {
            let _heartbeat = (!self.plan.is_request).then(|| Heartbeat::start(scope, store, run_id));
            self.all_campaigns(control).unwrap_or_else(Outcome::Failed)
        })
    }

    fn all_campaigns(&mut self, control: &mut Control<'_>) -> Result<Outcome, Error> {
        if let Some(refused) = self.check_before_the_first_row()? {
            return Ok(Outcome::Refused(refused));
        }
        let mut outcomes = Vec::new();
        for row in std::mem::take(&mut self.plan.campaigns) {
            let target = target(&row)?;
            let (report, outcome) = if row.state == RunState::Succeeded.as_str() {
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
        if self.books.run.archive_history
            && !self.plan.is_request
            && let Some(difference) = self.retry(drift::find)?
        {
            return Ok(Some(Error::HistoryDrift(difference)));
        }
        if !self.plan.bounds.any() || self.books.run.chunks > 0 {
            return Ok(None);
        }
        let mut shares = Vec::new();
        for row in &self.plan.campaigns {
            let target = target(row)?;
            let preview = match preview::preview(self.engine, target, &self.plan.criteria, &|| false) {
                Err(Error::NoSuchCampaign { .. }) => continue,
                preview => preview?,
            };
            let all = match self.plan.bounds.max_percent {
                Some(_) => numbers::count(&mut *self.engine.store.connection()?, target.campaign_id)?,
                None => 0,
            };
            let removable = preview.map_or(0, |preview| preview.removable);
            shares.push(Share { campaign_id: target.campaign_id, removable, all });
        }
        Ok(self.plan.bounds.check(&shares).err().map(Error::Bound))
    }

    pub(super) fn find_campaign(&mut self, target: Target) -> Result<Campaign, Error> {
        let Target { vdn_id: vdn, campaign_id: campaign } = target;
        let found = self.retry(|conn| campaigns::find(conn, vdn, campaign))?;
        found.ok_or(Error::NoSuchCampaign { vdn, campaign })
    }

    fn finish(mut self, outcome: Outcome) -> PurgeReport {
        let mut report = PurgeReport {
            run_id: self.books.run.id,
            counts: self.books.run.counts(),
            chunks: self.books.run.chunks,
            retries: 0,
            campaigns: std::mem::take(&mut self.done),
            outcome,
        };
        let code = self.plan.is_request.then(|| report.result_code());
        let mut last = self.books.clone();
        last.campaign = None;
        let now = self.engine.store.clock().timestamp();
        last.run.end(&report.outcome, code, now);
        // Nothing was done that could be done twice, and a repetition may find less to do.
        if matches!(report.outcome, Outcome::Refused(Error::Bound(_))) && !last.saved {
            last.run.request_key = None;
        }
        // The last chunk of a request has said so already.
        let is_key_taken = matches!(report.outcome, Outcome::Failed(Error::Store(StoreError::KeyTaken)));
        let is_told = is_key_taken
            || self.books.saved
                && (&last.run.state, &last.run.result_code) == (&self.books.run.state, &self.books.run.result_code);
        if !is_told && let Err(error) = self.save(last) {
            if !matches!(error, StoreError::KeyTaken) {
                tracing::warn!(run_id = report.run_id, %error, "the end of the run could not be recorded");
            }
            // The first error is the one to tell.
            if !matches!(report.outcome, Outcome::Failed(_)) {
                report.outcome = Outcome::Failed(error.into());
            }
        }
        report.retries = self.retries.total();
        report
    }

    /// Writes the books by themselves, outside a chunk.
    pub(super) fn save(&mut self, next: Books) -> Result<(), StoreError> {
        let before = self.books.clone();
        let mut tried = false;
        self.retry(|conn| {
            // An earlier attempt may have got through without an answer.
            if std::mem::replace(&mut tried, true) && ledger::is_saved(conn, &next)? {
                return Ok(());
            }
            crate::store::write_transaction(conn, |conn| ledger::save(conn, &before, &next))
        })?;
        self.books = Books { saved: true, ..next };
        Ok(())
    }

    pub(super) fn retry<T>(
        &mut self,
        attempt: impl FnMut(&mut AnyConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        retry(&self.engine.store, self.patience, &mut self.retries, attempt)
    }

    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    pub(super) fn progress(&self, target: Target, chunk: Option<ChunkProgress>) -> Progress {
        let run = &self.books.run;
        Progress {
            run_id: run.id,
            target,
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

fn target(row: &CampaignRow) -> Result<Target, Error> {
    let vdn_id = VdnId::try_from(i64::from(row.vdn_id))?;
    Ok(Target { vdn_id, campaign_id: CampaignId::try_from(row.campaign_id)? })
}
