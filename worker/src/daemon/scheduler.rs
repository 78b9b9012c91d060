//! What is to be done at a given time: interrupted runs first, then the firings that are due, one after the other.

use std::collections::HashMap;
use std::sync::Arc;

use callsweep_core::engine::Error;
use callsweep_core::engine::{Control, Outcome, Progress, PurgeReport, purge, resume};
use callsweep_core::run::{NewRun, Target};
use callsweep_core::schedule::Schedule;
use callsweep_core::settings::{Policy, Settings};
use callsweep_core::store::{Store, policies, runs};
use chrono::{DateTime, TimeDelta, Utc};
use tracing::{error, info, warn};

use super::liveness::Liveness;
use crate::cli::exit::Failure;
use crate::metrics::Metrics;
use crate::process::stop::Stop;
use crate::run::gate::{Gatekeeper, is_open};
use crate::run::policy;
use crate::run::reclaim;

/// How often runs whose process died are looked for. A process is dead after thirty seconds without a word.
const LOOK_FOR_DEAD_EVERY: TimeDelta = TimeDelta::seconds(10);

/// Fires policies. All that it must remember is in the ledger; the rest is there to spare queries.
pub(super) struct Scheduler {
    store: Store,
    settings: Arc<Settings>,
    stop: Stop,
    liveness: Liveness,
    metrics: Arc<Metrics>,
    actor: String,
    seen: HashMap<String, Seen>,
    look_for_dead_at: DateTime<Utc>,
}

/// How far the firings of a policy have been dealt with.
struct Seen {
    schedule: Schedule,
    /// Since when this process knows the policy with this schedule.
    since: DateTime<Utc>,
    upto: DateTime<Utc>,
    /// Whether the ledger was asked what other processes did.
    asked: bool,
    /// What the next firing waits for; said once.
    waits_for: Option<String>,
}

/// A run that the scheduler brought to its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) policy: String,
    /// `None`: an interrupted run was resumed.
    pub(super) firing: Option<DateTime<Utc>>,
    pub(super) run_id: i64,
}

impl Scheduler {
    pub(super) fn new(
        store: Store,
        settings: Arc<Settings>,
        stop: Stop,
        liveness: Liveness,
        metrics: Arc<Metrics>,
        actor: String,
    ) -> Self {
        let now = store.clock().now();
        let mut new =
            Self { store, settings, stop, liveness, metrics, actor, seen: HashMap::new(), look_for_dead_at: now };
        new.sync_policies(now);
        new
    }

    /// Takes over other settings.
    pub(super) fn reload(&mut self, settings: Arc<Settings>) {
        self.settings = settings;
        self.sync_policies(self.store.clock().now());
    }

    /// A policy that is new, or whose schedule is, begins now.
    fn sync_policies(&mut self, now: DateTime<Utc>) {
        let mut before = std::mem::take(&mut self.seen);
        for policy in &self.settings.sweep {
            let schedule = policy.schedule.clone();
            let seen = match before.remove(&policy.name) {
                Some(seen) if seen.schedule == schedule => seen,
                // Its firings before now were those of another schedule.
                Some(seen) => Seen { schedule, since: now, upto: now, asked: true, waits_for: seen.waits_for },
                None => Seen { schedule, since: now, upto: now, asked: false, waits_for: None },
            };
            self.seen.insert(policy.name.clone(), seen);
        }
    }

    /// Does what is due.
    ///
    /// # Errors
    /// The database's. What was due still is.
    pub(super) fn run_once(&mut self) -> Result<Vec<Done>, Failure> {
        let now = self.store.clock().now();
        let mut done = Vec::new();
        if now >= self.look_for_dead_at {
            self.resume_interrupted(&mut done)?;
            self.look_for_dead_at = now + LOOK_FOR_DEAD_EVERY;
        }
        let settings = Arc::clone(&self.settings);
        let mut failed = None;
        for policy in &settings.sweep {
            // One policy that cannot be looked after does not keep the others waiting.
            if let Err(failure) = self.fire_due(policy, now, &mut done) {
                error!(policy = policy.name, error = %failure, "the policy could not be fired");
                failed = Some(failure);
            }
        }
        failed.map_or(Ok(done), Err)
    }

    fn fire_due(&mut self, policy: &Policy, now: DateTime<Utc>, done: &mut Vec<Done>) -> Result<(), Failure> {
        for firing in self.due(policy, now)? {
            if self.stop.requested() || !self.fire(policy, firing, done)? {
                break;
            }
        }
        Ok(())
    }

    /// The firings of a policy that are due, oldest first.
    fn due(&mut self, policy: &Policy, now: DateTime<Utc>) -> Result<Vec<DateTime<Utc>>, Failure> {
        let Some(seen) = self.seen.get_mut(&policy.name) else { return Ok(Vec::new()) };
        if !seen.asked {
            let newest = policies::newest_key(&mut *self.store.connection()?, &policy.name)?;
            // Where there was no firing yet, there is none to be made up.
            seen.upto = newest.and_then(|key| policy::firing_of(&key, &policy.name)).unwrap_or(seen.since);
            seen.asked = true;
        }
        let zone = self.settings.worker.time_zone;
        let mut due = policy.schedule.firings(zone, seen.upto, now, policy.catch_up.max(1));
        if policy.catch_up == 0 {
            // What came while this process ran was not missed, even if it had to wait.
            due.retain(|firing| *firing > seen.since);
        }
        Ok(due)
    }

    /// Does one firing. Says whether the next one may follow.
    fn fire(&mut self, policy: &Policy, firing: DateTime<Utc>, done: &mut Vec<Done>) -> Result<bool, Failure> {
        let settings = Arc::clone(&self.settings);
        let zone = settings.worker.time_zone;
        let targets = policy::targets(policy, &mut *self.store.connection()?)?;
        if targets.is_empty() {
            self.skip_without_campaigns(policy, firing);
            return Ok(true);
        }
        if let Some(reason) = self.must_wait(policy, &targets)? {
            self.wait(policy, reason);
            return Ok(false);
        }
        let key = policy::key(&policy.name, firing);
        if runs::find_by_key(&mut *self.store.connection()?, &key)?.is_some() {
            self.mark_handled(policy, firing);
            return Ok(true);
        }
        let new = policy::new_run(policy, zone, firing, targets, self.actor.clone())?;
        let new = NewRun { key: Some(key), ..new };
        info!(policy = policy.name, %firing, campaigns = new.targets.len(), "the policy fires");
        let engine = policy::engine(policy, &settings, &self.store);
        let report = self.with_control(policy, &settings, |control| purge(&engine, &new, control))?;
        match report {
            Ok(report) => {
                log_outcome(&policy.name, &report);
                reclaim::after(&self.store, report.counts.deleted, &self.stop);
                done.push(Done { policy: policy.name.clone(), firing: Some(firing), run_id: report.run_id });
            }
            Err(Error::KeyTaken(_)) => info!(policy = policy.name, %firing, "another daemon has this firing"),
            // The one campaign that it had went away this moment: the next look finds none.
            Err(Error::NoSuchCampaign { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        self.mark_handled(policy, firing);
        Ok(true)
    }

    /// What a policy's run has to wait for before it begins.
    fn must_wait(&self, policy: &Policy, targets: &[Target]) -> Result<Option<String>, Failure> {
        let now = self.store.clock();
        let zone = self.settings.worker.time_zone;
        if let Some(window) = policy.window.filter(|window| !is_open(*window, zone, now.now())) {
            return Ok(Some(format!("the window {window} ({zone})")));
        }
        if let Some(file) = policy.stop_file.as_ref().filter(|file| file.exists()) {
            return Ok(Some(format!("the stop file {}", file.display())));
        }
        let busy = policies::at_work_on(&mut *self.store.connection()?, targets, now.timestamp())?;
        Ok(busy.map(|run_id| format!("run {run_id}, which is at work on one of its campaigns")))
    }

    fn wait(&mut self, policy: &Policy, reason: String) {
        let Some(seen) = self.seen.get_mut(&policy.name) else { return };
        if seen.waits_for.as_ref() != Some(&reason) {
            warn!(policy = policy.name, "the policy is due and waits for {reason}");
            seen.waits_for = Some(reason);
        }
    }

    /// A run without campaigns would succeed, and look as if the policy did its work.
    fn skip_without_campaigns(&mut self, policy: &Policy, firing: DateTime<Utc>) {
        warn!(policy = policy.name, %firing, "the policy is due and matches no campaign: nothing is run");
        self.mark_handled(policy, firing);
    }

    fn mark_handled(&mut self, policy: &Policy, firing: DateTime<Utc>) {
        if let Some(seen) = self.seen.get_mut(&policy.name) {
            seen.upto = seen.upto.max(firing);
            seen.waits_for = None;
        }
    }

    /// Goes on with runs of schedules whose process died.
    fn resume_interrupted(&mut self, done: &mut Vec<Done>) -> Result<(), Failure> {
        let settings = Arc::clone(&self.settings);
        let found = {
            let mut conn = self.store.connection()?;
            runs::interrupt_dead(&mut conn, self.store.clock().timestamp())?;
            policies::interrupted(&mut conn)?
        };
        for (run_id, name) in found {
            let Some(policy) = settings.sweep.iter().find(|policy| policy.name == name) else { continue };
            if self.stop.requested() {
                break;
            }
            // One that cannot be gone on with keeps neither the others nor the firings waiting.
            match self.resume(policy, &settings, run_id) {
                Ok(true) => done.push(Done { policy: name, firing: None, run_id }),
                Ok(false) => {}
                Err(failure) => error!(policy = name, run_id, %failure, "the run is not resumed"),
            }
        }
        Ok(())
    }

    /// Goes on with one run, unless it has to wait. Says whether it did.
    fn resume(&mut self, policy: &Policy, settings: &Settings, run_id: i64) -> Result<bool, Failure> {
        let targets = policies::unfinished(&mut *self.store.connection()?, run_id)?;
        if self.must_wait(policy, &targets)?.is_some() {
            return Ok(false);
        }
        let name = &policy.name;
        warn!(policy = name, run_id, "goes on with a run whose process died");
        let engine = policy::engine(policy, settings, &self.store);
        match self.with_control(policy, settings, |control| resume(&engine, run_id, policy.bounds, control))? {
            Ok(report) => {
                log_outcome(name, &report);
                reclaim::after(&self.store, report.counts.deleted, &self.stop);
            }
            Err(Error::NotResumable { reason, .. }) => {
                info!(run_id, reason, "the run is not resumed");
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(true)
    }

    /// Lets a run go under the policy's gate, watched by the metrics.
    fn with_control(
        &self,
        policy: &Policy,
        settings: &Settings,
        run: impl FnOnce(&mut Control<'_>) -> Result<PurgeReport, Error>,
    ) -> Result<Result<PurgeReport, Error>, Failure> {
        let limits = policy::limits(policy, settings);
        let mut gate = Gatekeeper::new(limits, settings, self.store.clone(), &self.stop)?;
        let watch = std::cell::RefCell::new(self.metrics.watch(Some(&policy.name)));
        let see = |progress: &Progress| {
            self.liveness.beat();
            watch.borrow_mut().see(progress);
        };
        let mut control = Control {
            gate: Box::new(|progress| {
                see(progress);
                gate.ask(progress)
            }),
            progress: Box::new(see),
        };
        Ok(run(&mut control))
    }
}

fn log_outcome(policy: &str, report: &PurgeReport) {
    let PurgeReport { run_id, counts, chunks, outcome, .. } = report;
    let state = outcome.state();
    let reason = outcome.reason();
    let (matched, deleted, archived, barred) = (counts.matched, counts.deleted, counts.archived, counts.barred.total());
    match outcome {
        Outcome::Succeeded => {
            info!(policy, run_id, %state, matched, deleted, archived, barred, chunks, "the run has ended");
        }
        Outcome::Stopped(_) | Outcome::Refused(_) => {
            warn!(policy, run_id, %state, reason, matched, deleted, archived, barred, chunks, "the run has ended");
        }
        Outcome::Failed(_) => {
            error!(policy, run_id, %state, reason, matched, deleted, archived, barred, chunks, "the run has ended");
        }
    }
    for campaign in report.campaigns.iter().filter(|campaign| campaign.reason.is_some()) {
        warn!(policy, run_id, campaign = %campaign.target.campaign_id, state = %campaign.state, reason = campaign.reason, "a campaign of the run did not succeed");
    }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
