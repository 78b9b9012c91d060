//! The order in which chunks are committed: that of their windows, though they are removed side by side.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::store::db::StoreError;
use crate::store::ledger::LedgerState;

/// Lets one chunk at a time into the ledger. So the cursor always has everything behind it, and a run that is resumed
/// repeats nothing.
pub(super) struct Turns {
    turn: Mutex<Turn>,
    changed: Condvar,
}

/// Whose turn it is. Who holds it writes the ledger.
pub(super) struct Turn {
    /// The chunk that may be committed next.
    number: u64,
    /// From this chunk on none may be.
    broken_at: Option<u64>,
    /// The ledger after the chunk before it.
    pub(super) ledger: LedgerState,
}

impl Turns {
    /// The first turn is chunk 0's.
    pub(super) fn new(ledger: LedgerState) -> Self {
        Self { turn: Mutex::new(Turn { number: 0, broken_at: None, ledger }), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Turn> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a chunk may be committed.
    ///
    /// # Errors
    /// [`StoreError::OutOfTurn`]: one before it was given up, or took longer than `patience`. Meanwhile this chunk holds
    /// its locks, and somebody whom the earlier chunk waits for may be waiting for them.
    pub(super) fn wait(&self, number: u64, patience: Duration) -> Result<MutexGuard<'_, Turn>, StoreError> {
        let is_early = |turn: &mut Turn| turn.number < number && turn.broken_at.is_none_or(|at| number < at);
        let waited = self.changed.wait_timeout_while(self.lock(), patience, is_early);
        let (turn, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if turn.number == number && turn.broken_at.is_none_or(|at| number < at) {
            Ok(turn)
        } else {
            Err(StoreError::OutOfTurn)
        }
    }

    /// A chunk is committed; the next one's turn comes when what is returned goes.
    pub(super) fn pass<'a>(&self, mut turn: MutexGuard<'a, Turn>, ledger: LedgerState) -> MutexGuard<'a, Turn> {
        turn.ledger = ledger;
        turn.number += 1;
        self.changed.notify_all();
        turn
    }

    /// A chunk was not committed: none after it may be.
    pub(super) fn give_up(&self, number: u64) {
        let mut turn = self.lock();
        turn.broken_at = Some(turn.broken_at.map_or(number, |at| at.min(number)));
        self.changed.notify_all();
    }

    /// Begins again with this chunk, after these ledger. No chunk may be under way.
    pub(super) fn restart(&self, number: u64, ledger: LedgerState) {
        *self.lock() = Turn { number, broken_at: None, ledger };
    }
}
