//! Ids made in the application: 64 bits, ordered by time.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Clock;

/// Milliseconds since the Unix epoch at 2020-01-01, where ids begin: it keeps 41 bits enough until 2089.
const EPOCH_MS: i64 = 1_577_836_800_000;
/// Bits that tell processes apart; chosen at random when a process starts.
const NODE_BITS: u32 = 10;
/// Bits that count within one millisecond: 4,096 ids, after which the next millisecond is borrowed.
const SEQUENCE_BITS: u32 = 12;

/// Makes ids that grow with time and do not repeat within this process.
///
/// Two processes share a node number with a chance of 1 in 1,024; an id that they then make twice meets a primary
/// key and fails loudly.
#[derive(Debug)]
pub struct IdGenerator {
    clock: Clock,
    node: u64,
    /// The last (millisecond, sequence) given out, as one number.
    last: AtomicU64,
}

impl IdGenerator {
    /// A generator with a random node number.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, node: u64::from(rand::random::<u16>()) & ((1 << NODE_BITS) - 1), last: AtomicU64::new(0) }
    }

    /// The next id: positive, and above every id that this generator has given before.
    pub fn next_id(&self) -> i64 {
        let ms = self.clock.now().timestamp_millis() - EPOCH_MS;
        let tick = u64::try_from(ms).unwrap_or(0) << SEQUENCE_BITS;
        let step = |last: u64| tick.max(last + 1);
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(step(last)));
        let ticked = step(last.unwrap_or_else(|unchanged| unchanged));
        let (ms, sequence) = (ticked >> SEQUENCE_BITS, ticked & ((1 << SEQUENCE_BITS) - 1));
        let id = (ms << (NODE_BITS + SEQUENCE_BITS)) | (self.node << SEQUENCE_BITS) | sequence;
        i64::try_from(id & i64::MAX.cast_unsigned()).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_even_when_the_clock_steps_back() {
        let ms = AtomicU64::new(1_800_000_000_000);
        let clock = Clock::from_fn(move || {
            let now = ms.fetch_sub(7, Ordering::Relaxed);
            chrono::DateTime::from_timestamp_millis(i64::try_from(now).unwrap()).unwrap()
        });
        let ids = IdGenerator::new(clock);
        let made: Vec<i64> = (0..10_000).map(|_| ids.next_id()).collect();
        assert!(made.is_sorted_by(|a, b| a < b));
        assert!(made[0] > 0);
    }
}
