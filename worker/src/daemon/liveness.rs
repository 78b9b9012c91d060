//! Whether the daemon is alive, for the watchdog of systemd and for /healthz.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Longer than any chunk and than the counting before a bounded run: who gives no sign for so long hangs.
const HANGS_AFTER: Duration = Duration::from_secs(60 * 60);

/// When the daemon last gave a sign of liveness.
#[derive(Debug, Clone)]
pub(super) struct Liveness {
    begun: Instant,
    /// Milliseconds after `begun`.
    last_sign: Arc<AtomicU64>,
}

impl Liveness {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), last_sign: Arc::default() }
    }

    /// Gives one.
    pub(super) fn beat(&self) {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_sign.store(now, Ordering::Relaxed);
    }

    /// Whether there was one not long ago.
    pub(super) fn is_alive(&self) -> bool {
        let last = Duration::from_millis(self.last_sign.load(Ordering::Relaxed));
        self.begun.elapsed().saturating_sub(last) < HANGS_AFTER
    }
}
