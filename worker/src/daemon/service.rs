//! What systemd is told: `Type=notify-reload`, or `Type=notify`. Without systemd it is told nothing.

use std::thread;

use sd_notify::NotifyState;
use tracing::debug;

use super::liveness::Liveness;

/// It is ready. From now on the watchdog is fed as long as there are signs of liveness.
pub(super) fn ready(liveness: &Liveness) {
    notify(&[NotifyState::Ready]);
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let liveness = liveness.clone();
    thread::spawn(move || {
        while liveness.is_alive() {
            notify(&[NotifyState::Watchdog]);
            // Half the limit, as systemd advises.
            thread::sleep(limit / 2);
        }
    });
}

/// It reads its settings again.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => debug!(%error, "systemd is not told of the reload"),
    }
}

/// It has read them.
pub(super) fn reloaded() {
    notify(&[NotifyState::Ready]);
}

/// It ends.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!(%error, "systemd was not told");
    }
}
