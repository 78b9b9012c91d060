//! Concurrent execution: the next window is found while a chunk is removed, and several lanes remove disjoint windows at the
//! same time.
//!
//! Lanes only increase the throughput; they handle no errors. A chunk that fails in a lane is executed again by
//! [`PurgeInProgress::one`], outside the lanes, which handles lock timeouts, lost connections and COMMITs without an answer.
//! Then the lanes continue after that chunk.

mod lane;
mod turns;

use std::ops::ControlFlow;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::{Duration, Instant};

use crate::engine::control::Control;
use crate::engine::error::Error;
use crate::engine::hold::Decision;
use crate::engine::purge::run::PurgeInProgress;
use crate::engine::report::{CampaignReport, Outcome};
use crate::model::run::RunState;
use crate::model::stop_reason::StopReason;
use crate::store::db::{StoreError, Transient};
use crate::store::scan::walker::ScanWalker;
use crate::store::scan::window::Window;

use lane::{FailedTask, Lane, LaneThreads, Task, TaskResult};
use turns::Turns;

/// The state of the thread that finds windows and dispatches them to the lanes.
struct LaneFeeder<'a> {
    walker: ScanWalker<'a>,
    turns: &'a Turns,
    lanes: LaneThreads,
    /// For each idle lane, when it may start its next chunk.
    idle: Vec<Instant>,
    /// How many windows were dispatched, including failed ones.
    dispatched: u64,
    in_flight: usize,
    /// The next window to dispatch.
    prefetched: Option<Window>,
    ended: bool,
    stop: Option<StopReason>,
    /// The first of the failed windows.
    failed_task: Option<FailedTask>,
}

impl PurgeInProgress<'_> {
    /// Removes what a scan finds, in as many lanes as the pace allows.
    pub(super) fn in_lanes(
        &mut self,
        walker: ScanWalker<'_>,
        report: &mut CampaignReport,
        control: &mut Control<'_>,
    ) -> Result<Outcome, Error> {
        let (engine, scope) = (self.run.engine, *walker.scope());
        // Under `max_rows` each chunk depends on how many numbers the previous one removed.
        let alone = !scope.can_be_shared() || self.rows_left().is_some();
        let wanted = if alone { 1 } else { engine.pace.lanes.get() };
        // One connection per lane, one for this thread and one for the heartbeat. A smaller pool gets fewer lanes.
        let connections = engine.store.open_connections(wanted + 2);
        let lanes = connections.len().saturating_sub(2).max(1);
        let owned: Vec<_> = if connections.len() > lanes {
            connections.into_iter().take(lanes).map(Some).collect()
        } else {
            vec![None]
        };
        let turns = Turns::new(self.run.ledger.clone());
        let archive_into = self.run.ledger.run.archive_into();
        thread::scope(|threads| {
            let mut feeder = LaneFeeder {
                walker,
                turns: &turns,
                lanes: LaneThreads::start(threads, owned, Lane { engine, scope, turns: &turns, archive_into }),
                idle: vec![self.run.rest_until; lanes],
                dispatched: 0,
                in_flight: 0,
                prefetched: None,
                ended: false,
                stop: None,
                failed_task: None,
            };
            let outcome = self.feed(&mut feeder, report, control);
            // Chunks in flight must be in the ledger before the end of the run is recorded.
            while feeder.in_flight > 0 {
                self.collect(&mut feeder, None, report, control);
            }
            outcome
        })
    }

    fn feed(
        &mut self,
        feeder: &mut LaneFeeder<'_>,
        report: &mut CampaignReport,
        control: &mut Control<'_>,
    ) -> Result<Outcome, Error> {
        let campaign = Some(report.target.campaign_id.get());
        loop {
            if feeder.in_flight > 0 && (feeder.failed_task.is_some() || feeder.stop.is_some()) {
                self.collect(feeder, None, report, control);
                continue;
            }
            if let Some(FailedTask { window, in_doubt, .. }) = feeder.failed_task.take() {
                feeder.walker.return_to(&window);
                (feeder.prefetched, feeder.ended) = (None, false);
                if feeder.stop.is_none() || !in_doubt.is_empty() {
                    if let ControlFlow::Break(outcome) = self.one(&mut feeder.walker, in_doubt, report, control)? {
                        return Ok(outcome);
                    }
                    feeder.turns.restart(feeder.dispatched, self.run.ledger.clone());
                }
                continue;
            }
            if let Some(reason) = feeder.stop.take() {
                return Ok(Outcome::Stopped(reason));
            }
            if feeder.prefetched.is_none() && !feeder.ended && (feeder.in_flight == 0 || self.rows_left().is_none()) {
                feeder.stop = self.prefetch_window(feeder)?;
                continue;
            }
            let idle_at = feeder.idle.iter().min().copied();
            match (feeder.prefetched.take(), idle_at) {
                (Some(window), Some(at)) if at <= Instant::now() => match self.run.decide(campaign, control)? {
                    Decision::Proceed if self.run.state == RunState::Running => self.dispatch(feeder, window, report),
                    Decision::Stop(reason) => feeder.stop = Some(reason),
                    _ if feeder.in_flight > 0 => {
                        feeder.prefetched = Some(window);
                        self.collect(feeder, None, report, control);
                    }
                    _ => {
                        feeder.prefetched = Some(window);
                        feeder.stop = self.run.hold(campaign, control)?;
                        feeder.turns.restart(feeder.dispatched, self.run.ledger.clone());
                    }
                },
                (prefetched, idle_at) => {
                    feeder.prefetched = prefetched;
                    let wait = idle_at
                        .filter(|_| feeder.prefetched.is_some())
                        .map(|at| at.saturating_duration_since(Instant::now()));
                    match wait {
                        _ if feeder.in_flight > 0 => self.collect(feeder, wait, report, control),
                        Some(wait) => thread::sleep(wait),
                        None => return Ok(Outcome::Succeeded),
                    }
                }
            }
        }
    }

    /// Finds the next window to dispatch. Returns the stop reason if `max_rows` is reached.
    fn prefetch_window(&mut self, feeder: &mut LaneFeeder<'_>) -> Result<Option<StopReason>, StoreError> {
        let left = self.rows_left();
        feeder.walker.resize(self.run.sizer.size(), left);
        let walker = &mut feeder.walker;
        let Some(window) = self.run.retry(|conn| walker.window(conn))? else {
            feeder.ended = true;
            return Ok(None);
        };
        if window.removable > 0
            && let Some(reason) = self.max_rows_reached()
        {
            return Ok(Some(reason));
        }
        feeder.ended = feeder.walker.advance(&window);
        feeder.prefetched = Some(window);
        Ok(None)
    }

    /// Dispatches a window to the lane that has been idle longest.
    fn dispatch(&self, feeder: &mut LaneFeeder<'_>, window: Window, report: &CampaignReport) {
        if let Some(lane) = (0..feeder.idle.len()).min_by_key(|lane| feeder.idle[*lane]) {
            feeder.idle.swap_remove(lane);
        }
        let task = Task { number: feeder.dispatched, window, spent: self.spent(report) };
        // The lanes run as long as the feeder lives, so sending cannot fail.
        if feeder.lanes.tasks.send(task).is_ok() {
            feeder.dispatched += 1;
            feeder.in_flight += 1;
        }
    }

    /// Waits for the result of a chunk, at most for `wait`.
    fn collect(
        &mut self,
        feeder: &mut LaneFeeder<'_>,
        wait: Option<Duration>,
        report: &mut CampaignReport,
        control: &mut Control<'_>,
    ) {
        let done = match wait {
            Some(wait) => feeder.lanes.results.recv_timeout(wait),
            None => feeder.lanes.results.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let Ok(done) = done else { return };
        feeder.in_flight -= 1;
        match done {
            TaskResult::Committed { removed, took } => {
                self.committed(removed, took, report, control);
                feeder.idle.push(self.run.rest_until);
            }
            TaskResult::Failed(failed_task) => {
                feeder.idle.push(Instant::now());
                if let Some(reason) = failed_task.error.as_ref().and_then(StoreError::retry_reason) {
                    self.run.retries.add(reason);
                    if reason == Transient::LockTimeout {
                        self.run.sizer.halve();
                    }
                }
                if feeder.failed_task.as_ref().is_none_or(|first| failed_task.number < first.number) {
                    feeder.failed_task = Some(failed_task);
                }
            }
        }
    }
}
