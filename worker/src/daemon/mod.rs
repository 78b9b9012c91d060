//! `run`: the daemon. It fires the policies of the settings; any number of them may run, on any number of hosts.

mod liveness;
mod ops_server;
mod scheduler;
mod service;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use callsweep_core::settings::Settings;
use callsweep_core::store::{AnyConnection, Store, StoreError, storage, text};
use signal_hook::consts::SIGHUP;
use tracing::{error, info, warn};

use crate::cli::exit::{Exit, Failure};
use crate::metrics::{self, Metrics};
use crate::process::actor::actor;
use crate::process::database;
use crate::process::stop::Stop;
use crate::run::{gate, policy};
use liveness::Liveness;
use scheduler::Scheduler;

/// How often the schedule is looked at: a firing is late by this at most.
const TICK: Duration = Duration::from_millis(500);
/// How long to wait before what failed is tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(10);
/// How often the state of policies is measured anew when nothing happens.
const MEASURE_EVERY: Duration = Duration::from_secs(5 * 60);

/// Runs the command: until it is asked to stop.
pub(crate) fn run(config: Option<&Path>, settings: Settings, stop: &Stop) -> Result<Exit, Failure> {
    let reload_requested = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGHUP, Arc::clone(&reload_requested))
        .map_err(|error| Failure::failed(format_args!("no signals: {error}")))?;
    let store = database::open(&settings)?;
    check_tables(&mut *store.connection()?)?;
    policy::check(&settings, store.clock().now())?;

    let (liveness, metrics, settings) = (Liveness::new(), Arc::new(Metrics::new()), Arc::new(settings));
    let address = ops_server::serve(settings.worker.ops_listen, &metrics, &liveness)?;
    let measure = spawn_measuring(store.clone(), Arc::clone(&settings), Arc::clone(&metrics));
    let mut scheduler =
        Scheduler::new(store.clone(), Arc::clone(&settings), stop.clone(), liveness.clone(), metrics, actor());
    service::ready(&liveness);
    info!(policies = settings.sweep.len(), ops_listen = %address, "the daemon is ready");
    log_next_firing(&settings, &store);
    warn_of_throttles(&settings, &store);

    let mut settings = settings;
    while !stop.requested() {
        liveness.beat();
        if reload_requested.swap(false, Ordering::Relaxed) {
            service::reloading();
            if let Some(new) = reload(config, &settings, &store) {
                settings = new;
                scheduler.reload(Arc::clone(&settings));
                let _ = measure.send(Arc::clone(&settings));
                log_next_firing(&settings, &store);
                warn_of_throttles(&settings, &store);
            }
            service::reloaded();
        }
        match scheduler.run_once() {
            Ok(done) if done.is_empty() => rest(TICK, stop, &reload_requested),
            // There is no telling what became due meanwhile.
            Ok(_) => _ = measure.send(Arc::clone(&settings)),
            Err(failure) => {
                error!(error = %failure, "the policies could not be looked after; trying again");
                store.prepare_again();
                rest(AFTER_FAILURE, stop, &reload_requested);
            }
        }
    }
    service::stopping();
    info!("the daemon stops");
    Ok(Exit::Done)
}

/// Refuses tables in which numbers could be lost, and warns of what is otherwise.
fn check_tables(conn: &mut AnyConnection) -> Result<(), StoreError> {
    storage::check(conn)?;
    for problem in text::problems(conn)? {
        warn!("{problem}");
    }
    Ok(())
}

/// Waits, unless there is something to do.
fn rest(how_long: Duration, stop: &Stop, reload: &AtomicBool) {
    const LOOK_EVERY: Duration = Duration::from_millis(50);
    let mut left = how_long;
    while !left.is_zero() && !stop.requested() && !reload.load(Ordering::Relaxed) {
        let nap = left.min(LOOK_EVERY);
        thread::sleep(nap);
        left -= nap;
    }
}

/// The settings as the file has them now; `None` where it cannot be used.
fn reload(config: Option<&Path>, old: &Settings, store: &Store) -> Option<Arc<Settings>> {
    let read = Settings::load(config).map_err(Failure::usage);
    let checked = read.and_then(|settings| policy::check(&settings, store.clock().now()).map(|()| settings));
    match checked {
        Ok(settings) => {
            if settings.worker.ops_listen != old.worker.ops_listen {
                warn!("worker.ops_listen has changed: this takes a restart");
            }
            info!(policies = settings.sweep.len(), "the settings are reloaded; [database] stays as it was");
            Some(Arc::new(settings))
        }
        Err(failure) => {
            error!(error = %failure, "the settings cannot be used: the old ones stay");
            None
        }
    }
}

/// Tells at once, and not at the next firing, of throttles that would hold the runs of a policy for ever.
fn warn_of_throttles(settings: &Settings, store: &Store) {
    for policy in &settings.sweep {
        if let Err(failure) = gate::check_throttles(&policy::limits(policy, settings).throttle, store) {
            warn!(policy = policy.name, error = %failure, "a throttle of the policy gives no answer: it holds its runs");
        }
    }
}

fn log_next_firing(settings: &Settings, store: &Store) {
    for policy in &settings.sweep {
        let next = policy.schedule.next(settings.worker.time_zone, store.clock().now());
        let next = next.map(|next| next.to_rfc3339());
        info!(policy = policy.name, schedule = %policy.schedule, next, "the policy is scheduled");
    }
}

/// Measures the state of policies beside the daemon: at once, whenever settings are sent, and every few minutes.
fn spawn_measuring(store: Store, settings: Arc<Settings>, metrics: Arc<Metrics>) -> Sender<Arc<Settings>> {
    let (sender, wake) = mpsc::channel::<Arc<Settings>>();
    thread::spawn(move || {
        let mut settings = settings;
        loop {
            for policy in &settings.sweep {
                if let Err(failure) = metrics::refresh(&metrics, policy, &settings, &store) {
                    warn!(policy = policy.name, error = %failure, "the policy could not be measured");
                    store.prepare_again();
                }
            }
            match wake.recv_timeout(MEASURE_EVERY) {
                Ok(new) => {
                    let new = wake.try_iter().last().unwrap_or(new);
                    if !Arc::ptr_eq(&settings, &new) {
                        metrics.clear_policies();
                    }
                    settings = new;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    });
    sender
}
