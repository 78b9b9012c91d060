//! The queue in front of the database for requests that are done by themselves: as many work as there are connections, the
//! others wait in turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Admits requests to the database.
#[derive(Debug)]
pub struct Queue {
    seats: Arc<Semaphore>,
    waiting: AtomicI64,
}

impl Queue {
    /// `seats`: how many may work at the same time.
    #[must_use]
    pub fn new(seats: usize) -> Self {
        Self { seats: Arc::new(Semaphore::new(seats)), waiting: AtomicI64::new(0) }
    }

    /// Waits for a seat, which is held until what is returned goes. `None`: there was none until `deadline`.
    pub async fn enter(&self, deadline: Instant) -> Option<OwnedSemaphorePermit> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // Also where the client goes away meanwhile.
        let _leave = Leave(&self.waiting);
        timeout_at(deadline, self.seats.clone().acquire_owned()).await.ok()?.ok()
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> i64 {
        self.waiting.load(Ordering::Relaxed)
    }
}

struct Leave<'a>(&'a AtomicI64);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
