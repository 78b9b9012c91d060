//! Whether the next chunk may begin: signals, limits of time, and throttles.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use callsweep_core::engine::{Gate, Progress};
use callsweep_core::run::RunState;
use callsweep_core::settings::{Settings, ThrottleSettings};
use callsweep_core::stop_reason::StopReason;
use callsweep_core::store::Store;
use callsweep_core::time_window::TimeWindow;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use super::throttle::Throttle;
use crate::cli::exit::Failure;
use crate::process::stop::Stop;

/// How often throttles are asked: each answer costs a query or a request.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// What ends or holds a run, besides operators.
#[derive(Debug, Clone, Default)]
pub(crate) struct Limits {
    /// How long it may take.
    pub(crate) max_duration: Option<Duration>,
    /// A file that ends it.
    pub(crate) stop_file: Option<PathBuf>,
    /// When it may work; it waits outside.
    pub(crate) window: Option<TimeWindow>,
    /// When it may work; it ends outside. A policy's run that waited for the next night would keep the other policies
    /// waiting.
    pub(crate) stop_outside: Option<TimeWindow>,
    /// What it waits for.
    pub(crate) throttle: ThrottleSettings,
}

/// The gate of one run.
pub(crate) struct Gatekeeper<'a> {
    stop: &'a Stop,
    store: Store,
    time_zone: Tz,
    begun: Instant,
    max_duration: Option<Duration>,
    stop_file: Option<PathBuf>,
    windows: Vec<TimeWindow>,
    stop_outside: Option<TimeWindow>,
    throttles: Vec<Throttle>,
    /// When the throttles were last asked, and what they answered.
    asked: Option<(Instant, Option<String>)>,
}

impl<'a> Gatekeeper<'a> {
    /// Creates the gate. The time of the run counts from now on.
    ///
    /// # Errors
    /// The stop file exists already, or a throttle cannot be used.
    pub(crate) fn new(limits: Limits, settings: &Settings, store: Store, stop: &'a Stop) -> Result<Self, Failure> {
        if let Some(file) = limits.stop_file.as_ref().filter(|file| file.exists()) {
            return Err(Failure::stopped(format_args!(
                "the stop file {} exists already: nothing was begun. Remove it, or leave --stop-file out",
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
            stop_outside: limits.stop_outside,
            asked: None,
        })
    }

    /// Asks each throttle once, before the run is opened: one that can never be asked would hold the run for ever.
    ///
    /// # Errors
    /// A throttle gives no answer.
    pub(crate) fn check_throttles(&mut self) -> Result<(), Failure> {
        ask_each(&mut self.throttles, &self.store)
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
        let now = self.store.clock().now();
        if let Some(window) = self.stop_outside.filter(|window| !is_open(*window, self.time_zone, now)) {
            return Gate::Stop(StopReason::Throttle { by: self.name_of(window) });
        }
        if let Some(window) = self.windows.iter().find(|window| !is_open(**window, self.time_zone, now)) {
            return Gate::Hold(self.name_of(*window));
        }
        self.held_by_throttle().map_or(Gate::Go, Gate::Hold)
    }

    fn name_of(&self, window: TimeWindow) -> String {
        format!("the window {window} ({})", self.time_zone)
    }

    /// The first throttle that holds the run. One that cannot be asked holds it: nobody knows whether it would do harm.
    fn held_by_throttle(&mut self) -> Option<String> {
        match &self.asked {
            Some((when, answer)) if when.elapsed() < ASK_EVERY => answer.clone(),
            _ => {
                let answer = self.throttles.iter_mut().find_map(|throttle| {
                    throttle.ask(&self.store).unwrap_or_else(|error| Some(format!("{}: {error}", throttle.name())))
                });
                self.asked = Some((Instant::now(), answer.clone()));
                answer
            }
        }
    }
}

/// Asks each throttle of some settings once. For the daemon, whose runs begin later.
///
/// # Errors
/// A throttle cannot be used, or gives no answer.
pub(crate) fn check_throttles(settings: &ThrottleSettings, store: &Store) -> Result<(), Failure> {
    ask_each(&mut Throttle::all(settings, store)?, store)
}

fn ask_each(throttles: &mut [Throttle], store: &Store) -> Result<(), Failure> {
    throttles.iter_mut().try_for_each(|throttle| {
        let answer = throttle.ask(store);
        answer.map(drop).map_err(|error| {
            Failure::usage(format_args!(
                "the throttle {} cannot be asked: {error}. Nothing was begun; correct it or leave it out",
                throttle.name()
            ))
        })
    })
}

/// Whether the time of day lies in the window.
pub(crate) fn is_open(window: TimeWindow, zone: Tz, now: DateTime<Utc>) -> bool {
    window.contains(now.with_timezone(&zone).time())
}
