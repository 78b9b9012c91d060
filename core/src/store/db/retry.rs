//! Retries of transient errors, with exponential backoff and jitter.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::statements;
use crate::store::db::{AnyConnection, Store, StoreError, Transient};

/// The first pause; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// The longest pause. A restarted server is used again within this time.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// An error that cannot be classified may pass by itself, as a deadlock does, or never. With the pauses between them these
/// retries take less than a second, and the wait for locks.
const UNCLASSIFIED_RETRIES: u32 = 3;
const UNCLASSIFIED_PAUSE: Duration = Duration::from_millis(100);
/// As long as these retries may take, for callers that have no patience of their own.
pub(crate) const UNCLASSIFIED_PATIENCE: Duration = Duration::from_secs(2);

/// How long a sweep or an import retries: long enough for a restart of the database server.
pub(crate) const UNTIL_RESTARTED: Duration = Duration::from_secs(120);

/// With more patience than this, a caller also waits for a connection of the pool.
const BUSY_PATIENCE: Duration = Duration::from_secs(60);

/// The number of retries by reason.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Retries(BTreeMap<Transient, i64>);

impl Retries {
    /// The total of all reasons.
    #[must_use]
    pub fn total(&self) -> i64 {
        self.0.values().sum()
    }

    /// Each reason with its count.
    pub fn by_reason(&self) -> impl Iterator<Item = (Transient, i64)> {
        self.0.iter().map(|(reason, times)| (*reason, *times))
    }

    pub(crate) fn add(&mut self, reason: Transient) {
        *self.0.entry(reason).or_default() += 1;
    }
}

/// Runs `attempt` on a connection from the pool until it succeeds, fails with a permanent error, or `patience` is over.
/// Counts each attempt after the first in `retries`.
///
/// An error that cannot be classified ([`StoreError::is_unclassified`]) is retried [`UNCLASSIFIED_RETRIES`] times, with newly
/// prepared statements.
pub(crate) fn retry<T>(
    store: &Store,
    patience: Duration,
    retries: &mut Retries,
    mut attempt: impl FnMut(&mut AnyConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut unclassified = 0;
    loop {
        let attempted = store.connection().and_then(|mut conn| {
            if unclassified > 0 {
                statements::renew(&mut conn)?;
            }
            attempt(&mut conn)
        });
        let error = match attempted {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        if error.is_unclassified() && unclassified < UNCLASSIFIED_RETRIES && begun.elapsed() < patience {
            tracing::debug!(%error, "trying again with new statements");
            retries.add(Transient::Unclassified);
            thread::sleep(UNCLASSIFIED_PAUSE * (1 << unclassified));
            unclassified += 1;
            continue;
        }
        // A client waits for a response: it is told at once that all connections are busy. A sweep can wait for one.
        let busy = (error.is_busy() && patience > BUSY_PATIENCE).then_some(Transient::Busy);
        let Some(reason) = error.is_transient().or(busy) else { return Err(error) };
        if begun.elapsed() + pause > patience {
            return Err(error);
        }
        tracing::debug!(%error, ?reason, "trying again");
        retries.add(reason);
        // Jitter: two transactions that collided must not retry at the same time.
        thread::sleep(pause.mul_f64(rand::random_range(0.5..1.5)));
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
