//! Whether the next chunk may begin: people, bounds of time, and throttles.

mod throttle;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use callsweep_core::engine::{Gate, Progress};
use callsweep_core::run::RunState;
use callsweep_core::settings::{Settings, ThrottleSettings};
use callsweep_core::stop_reason::StopReason;
use callsweep_core::store::Store;
use callsweep_core::time_window::TimeWindow;
use chrono_tz::Tz;

use crate::exit::Failure;
use crate::stop::Stop;
use throttle::Throttle;

/// How often throttles are asked: each answer costs a query or a request.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What ends or holds a sweep, besides people.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    /// How long it may take.
    pub(crate) max_duration: Option<Duration>,
    /// A file that ends it.
    pub(crate) stop_file: Option<PathBuf>,
    /// When it may work.
    pub(crate) window: Option<TimeWindow>,
    /// What it waits for.
    pub(crate) throttle: ThrottleSettings,
}

/// Keeps the gate of one run.
pub(crate) struct Gatekeeper<'a> {
    stop: &'a Stop,
    store: Store,
    time_zone: Tz,
    begun: Instant,
    max_duration: Option<Duration>,
    stop_file: Option<PathBuf>,
    windows: Vec<TimeWindow>,
    throttles: Vec<Throttle>,
    /// When the throttles were last asked, and what they said.
    asked: Option<(Instant, Option<String>)>,
}

impl<'a> Gatekeeper<'a> {
    /// Takes up its post.
    ///
    /// # Errors
    /// The stop file is there already, or a throttle cannot be asked.
    pub(crate) fn new(limits: Limits, settings: &Settings, store: Store, stop: &'a Stop) -> Result<Self, Failure> {
        if let Some(file) = limits.stop_file.as_ref().filter(|file| file.exists()) {
            return Err(Failure::stopped(format_args!(
                "the stop file {} is there already: nothing was begun. Remove it, or leave --stop-file out",
                file.display()
            )));
        }
        let windows = limits.window.into_iter().chain(limits.throttle.window).collect();
        Ok(Self {
            stop,
            throttles: Throttle::all(&limits.throttle, &store)?,
            store,
            time_zone: settings.worker.time_zone,
            begun: Instant::now(),
            max_duration: limits.max_duration,
            stop_file: limits.stop_file,
            windows,
            asked: None,
        })
    }

    /// The gate.
    pub(crate) fn ask(&mut self, progress: &Progress) -> Gate {
        if self.stop.requested() {
            return Gate::Stop(StopReason::Person);
        }
        if let Some(file) = self.stop_file.as_ref().filter(|file| file.exists()) {
            return Gate::Stop(StopReason::StopFile(file.clone()));
        }
        if let Some(max) = self.max_duration.filter(|max| self.begun.elapsed() >= *max) {
            return Gate::Stop(match &progress.held_by {
                Some(by) if progress.state == RunState::Throttled => StopReason::Throttle { by: by.clone() },
                _ => StopReason::MaxDuration(max),
            });
        }
        self.held_by().map_or(Gate::Go, Gate::Hold)
    }

    /// What holds the run, if anything.
    fn held_by(&mut self) -> Option<String> {
        let time = self.store.clock().now().with_timezone(&self.time_zone).time();
        if let Some(window) = self.windows.iter().find(|window| !window.contains(time)) {
            return Some(format!("the window {window} ({})", self.time_zone));
        }
        match &self.asked {
            Some((when, answer)) if when.elapsed() < ASK_EVERY => answer.clone(),
            _ => {
                let answer = self.throttles.iter_mut().find_map(|throttle| throttle.holds(&self.store));
                self.asked = Some((Instant::now(), answer.clone()));
                answer
            }
        }
    }
}
