//! The queue in front of the database: as many requests work as there are connections, the others wait in turn, and
//! none longer than `api.queue_timeout`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// Admits requests to the database.
#[derive(Debug)]
pub struct Queue {
    seats: Arc<Semaphore>,
    waiting: AtomicI64,
    patience: Duration,
}

impl Queue {
    /// `seats`: how many may work at the same time.
    #[must_use]
    pub fn new(seats: usize, patience: Duration) -> Self {
        Self { seats: Arc::new(Semaphore::new(seats)), waiting: AtomicI64::new(0), patience }
    }

    /// Waits for a seat, which is held until what is returned goes. `None`: it took too long.
    pub async fn enter(&self) -> Option<OwnedSemaphorePermit> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // Also where the client goes away meanwhile.
        let _leave = Leave(&self.waiting);
        timeout(self.patience, self.seats.clone().acquire_owned()).await.ok()?.ok()
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
