//! Chunks side by side: while one is removed the next window is found, and with several lanes several are removed at once,
//! over disjoint stretches of the walk.
//!
//! Lanes only make it faster. A chunk that fails in a lane is done again alone, by [`PurgeInProgress::one`], which knows what to
//! do about locks, lost connections and commits without an answer; then the lanes go on behind it.

mod lane;
mod turns;

use std::ops::ControlFlow;
use std::sync::mpsc::RecvTimeoutError;
use std::thread;
use std::time::{Duration, Instant};

use crate::engine::control::Control;
use crate::engine::error::Error;
use crate::engine::hold::Wish;
use crate::engine::purge::run::PurgeInProgress;
use crate::engine::report::{CampaignReport, Outcome};
use crate::model::run::RunState;
use crate::model::stop_reason::StopReason;
use crate::store::db::{StoreError, Transient};
use crate::store::scan::walker::Walker;
use crate::store::scan::window::Window;

use lane::{GivenUp, Lane, LaneThreads, Task, TaskResult};
use turns::Turns;

/// The lanes of a campaign as the thread that feeds them sees them.
struct Feed<'a> {
    walker: Walker<'a>,
    turns: &'a Turns,
    lanes: LaneThreads,
    /// When each idle lane may begin again.
    idle: Vec<Instant>,
    /// How many windows have gone to the lanes, those that were given up included.
    given: u64,
    in_flight: usize,
    /// The next window, found ahead.
    ahead: Option<Window>,
    ended: bool,
    stop: Option<StopReason>,
    /// The first window that was given up.
    given_up: Option<GivenUp>,
}

impl PurgeInProgress<'_> {
    /// Removes what a walk finds, in as many lanes as the pace says.
    pub(super) fn side_by_side(
        &mut self,
        walker: Walker<'_>,
        report: &mut CampaignReport,
        control: &mut Control<'_>,
    ) -> Result<Outcome, Error> {
        let (engine, scope) = (self.run.engine, *walker.scope());
        // Where rows are counted down each chunk must know what the one before took.
        let alone = !scope.can_be_shared() || self.rows_left().is_some();
        let wanted = if alone { 1 } else { engine.pace.lanes.get() };
        // The lanes', this thread's, and the heartbeat's. A pool that is smaller has fewer lanes.
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
            let mut feed = Feed {
                walker,
                turns: &turns,
                lanes: LaneThreads::start(threads, owned, Lane { engine, scope, turns: &turns, archive_into }),
                idle: vec![self.run.rest_until; lanes],
                given: 0,
                in_flight: 0,
                ahead: None,
                ended: false,
                stop: None,
                given_up: None,
            };
            let outcome = self.feed(&mut feed, report, control);
            // What is under way is in the ledger by the time that the run is told to end.
            while feed.in_flight > 0 {
                self.collect(&mut feed, None, report, control);
            }
            outcome
        })
    }

    fn feed(
        &mut self,
        feed: &mut Feed<'_>,
        report: &mut CampaignReport,
        control: &mut Control<'_>,
    ) -> Result<Outcome, Error> {
        let campaign = Some(report.target.campaign_id.get());
        loop {
            if feed.in_flight > 0 && (feed.given_up.is_some() || feed.stop.is_some()) {
                self.collect(feed, None, report, control);
                continue;
            }
            if let Some(GivenUp { window, in_doubt, .. }) = feed.given_up.take() {
                feed.walker.return_to(&window);
                (feed.ahead, feed.ended) = (None, false);
                if feed.stop.is_none() || !in_doubt.is_empty() {
                    if let ControlFlow::Break(outcome) = self.one(&mut feed.walker, in_doubt, report, control)? {
                        return Ok(outcome);
                    }
                    feed.turns.restart(feed.given, self.run.ledger.clone());
                }
                continue;
            }
            if let Some(reason) = feed.stop.take() {
                return Ok(Outcome::Stopped(reason));
            }
            if feed.ahead.is_none() && !feed.ended && (feed.in_flight == 0 || self.rows_left().is_none()) {
                feed.stop = self.look_ahead(feed)?;
                continue;
            }
            let idle_at = feed.idle.iter().min().copied();
            match (feed.ahead.take(), idle_at) {
                (Some(window), Some(at)) if at <= Instant::now() => match self.run.ask(campaign, control)? {
                    Wish::Go if self.run.state == RunState::Running => self.give(feed, window, report),
                    Wish::Stop(reason) => feed.stop = Some(reason),
                    _ if feed.in_flight > 0 => {
                        feed.ahead = Some(window);
                        self.collect(feed, None, report, control);
                    }
                    _ => {
                        feed.ahead = Some(window);
                        feed.stop = self.run.hold(campaign, control)?;
                        feed.turns.restart(feed.given, self.run.ledger.clone());
                    }
                },
                (ahead, idle_at) => {
                    feed.ahead = ahead;
                    let wait =
                        idle_at.filter(|_| feed.ahead.is_some()).map(|at| at.saturating_duration_since(Instant::now()));
                    match wait {
                        _ if feed.in_flight > 0 => self.collect(feed, wait, report, control),
                        Some(wait) => thread::sleep(wait),
                        None => return Ok(Outcome::Succeeded),
                    }
                }
            }
        }
    }

    /// Finds the next window, unless no more may go.
    fn look_ahead(&mut self, feed: &mut Feed<'_>) -> Result<Option<StopReason>, StoreError> {
        let left = self.rows_left();
        feed.walker.resize(self.run.sizer.size(), left);
        let walker = &mut feed.walker;
        let Some(window) = self.run.retry(|conn| walker.window(conn))? else {
            feed.ended = true;
            return Ok(None);
        };
        if window.removable > 0 && left.is_some_and(|left| left <= 0) {
            return Ok(Some(self.max_rows()));
        }
        feed.ended = feed.walker.advance(&window);
        feed.ahead = Some(window);
        Ok(None)
    }

    /// Gives a window to the lane that has been idle longest.
    fn give(&self, feed: &mut Feed<'_>, window: Window, report: &CampaignReport) {
        if let Some(lane) = (0..feed.idle.len()).min_by_key(|lane| feed.idle[*lane]) {
            feed.idle.swap_remove(lane);
        }
        let task = Task { number: feed.given, window, spent: self.spent(report) };
        // The lanes live as long as the feed.
        if feed.lanes.tasks.send(task).is_ok() {
            feed.given += 1;
            feed.in_flight += 1;
        }
    }

    /// Waits for a lane, no longer than given.
    fn collect(
        &mut self,
        feed: &mut Feed<'_>,
        wait: Option<Duration>,
        report: &mut CampaignReport,
        control: &mut Control<'_>,
    ) {
        let done = match wait {
            Some(wait) => feed.lanes.results.recv_timeout(wait),
            None => feed.lanes.results.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        let Ok(done) = done else { return };
        feed.in_flight -= 1;
        match done {
            TaskResult::Committed { removed, took } => {
                self.committed(removed, took, report, control);
                feed.idle.push(self.run.rest_until);
            }
            TaskResult::GivenUp(given_up) => {
                feed.idle.push(Instant::now());
                if let Some(reason) = given_up.error.as_ref().and_then(StoreError::retry_reason) {
                    self.run.retries.add(reason);
                    if reason == Transient::LockTimeout {
                        self.run.sizer.halve();
                    }
                }
                if feed.given_up.as_ref().is_none_or(|first| given_up.number < first.number) {
                    feed.given_up = Some(given_up);
                }
            }
        }
    }
}
