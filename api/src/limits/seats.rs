//! Seats at the database, for requests that are executed alone: each holds a connection, and may wait for a lock.
//!
//! A key has a share of the seats. Its requests first wait among themselves for a seat of the share, then in turn with
//! those of other keys. So a key whose campaign is locked by another program cannot hold all connections.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Admits requests to the database.
#[derive(Debug)]
pub struct Seats {
    all: Arc<Semaphore>,
    /// Seats that one key has at most.
    share: usize,
    /// There is one for each key that has called: only authenticated requests come here.
    by_key: Mutex<HashMap<String, Arc<Semaphore>>>,
    waiting: AtomicI64,
    waiting_for_share: AtomicI64,
}

/// A request's seat, until it is dropped.
#[derive(Debug)]
pub struct Seat {
    _of_all: OwnedSemaphorePermit,
    _of_key: OwnedSemaphorePermit,
}

impl Seats {
    /// `count`: how many requests may work at the same time. `share`: how many of one key, `None`: all but one, where
    /// there are several.
    #[must_use]
    pub fn new(count: NonZeroUsize, share: Option<NonZeroUsize>) -> Self {
        let count = count.get().min(Semaphore::MAX_PERMITS);
        // The last seat is never one key's own.
        let most = (count - 1).max(1);
        Self {
            all: Arc::new(Semaphore::new(count)),
            share: share.map_or(most, |share| share.get().min(most)),
            by_key: Mutex::default(),
            waiting: AtomicI64::new(0),
            waiting_for_share: AtomicI64::new(0),
        }
    }

    /// Waits for a seat. `None`: there was none until `deadline`.
    pub async fn take(&self, access_key: &str, deadline: Instant) -> Option<Seat> {
        let _waiting = Waiting::count_in(&self.waiting);
        let of_key = self.of_key(access_key);
        let both = async {
            let waiting_for_share = Waiting::count_in(&self.waiting_for_share);
            let of_key = of_key.acquire_owned().await.ok()?;
            drop(waiting_for_share);
            Some(Seat { _of_all: self.all.clone().acquire_owned().await.ok()?, _of_key: of_key })
        };
        timeout_at(deadline, both).await.ok()?
    }

    fn of_key(&self, access_key: &str) -> Arc<Semaphore> {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        match by_key.get(access_key) {
            Some(of_key) => of_key.clone(),
            None => by_key.entry(access_key.to_owned()).or_insert(Arc::new(Semaphore::new(self.share))).clone(),
        }
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> i64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many of them wait because their key uses its share.
    #[must_use]
    pub fn waiting_for_share(&self) -> i64 {
        self.waiting_for_share.load(Ordering::Relaxed)
    }
}

/// Counts a request that waits. Dropped where it need not wait any longer, and where its client closes the connection.
struct Waiting<'a>(&'a AtomicI64);

impl<'a> Waiting<'a> {
    fn count_in(count: &'a AtomicI64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use actix_web::rt::System;

    use super::*;

    /// How many seats a key gets, one after the other, before it would have to wait.
    async fn take_all(seats: &Seats, key: &str) -> Vec<Seat> {
        let mut taken = Vec::new();
        while let Some(seat) = seats.take(key, Instant::now()).await {
            taken.push(seat);
        }
        taken
    }

    fn count_of_two_keys(count: usize, share: Option<usize>) -> (usize, usize) {
        let seats = Seats::new(NonZeroUsize::new(count).unwrap(), share.map(|share| NonZeroUsize::new(share).unwrap()));
        System::new().block_on(async {
            let (first, second) = (take_all(&seats, "a").await, take_all(&seats, "b").await);
            let counts = (first.len(), second.len());
            drop((first, second));
            // What was held comes back whole.
            assert_eq!(take_all(&seats, "b").await.len(), counts.0);
            assert_eq!(seats.waiting(), 0);
            counts
        })
    }

    #[test]
    fn a_key_has_its_share_and_never_all() {
        assert_eq!(count_of_two_keys(6, Some(3)), (3, 3));
        assert_eq!(count_of_two_keys(6, Some(5)), (5, 1));
        assert_eq!(count_of_two_keys(6, Some(6)), (5, 1));
        assert_eq!(count_of_two_keys(6, None), (5, 1));
        assert_eq!(count_of_two_keys(1, Some(1)), (1, 0));
    }
}
