//! Commit order: chunks are removed concurrently, but committed in the order of their windows.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::store::db::StoreError;
use crate::store::ledger::LedgerState;

/// Lets chunks update the ledger one at a time, in order. The ledger has a single cursor: everything before it must be
/// committed, or a resumed run would skip numbers.
pub(super) struct Turns {
    turn: Mutex<Turn>,
    changed: Condvar,
}

/// Which chunk may commit next. The lane that holds the lock writes the ledger.
pub(super) struct Turn {
    /// The chunk that may be committed next.
    number: u64,
    /// This chunk failed: neither it nor a later one may be committed.
    broken_at: Option<u64>,
    /// The ledger's rows after the previous chunk.
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
    /// [`StoreError::OutOfTurn`]: an earlier chunk failed, or took longer than `patience`. The wait must be bounded: this
    /// chunk holds row locks meanwhile. Another client may wait for them while the earlier chunk waits for that client, a
    /// deadlock that the database cannot detect because this wait is in the process.
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

    /// Records a committed chunk. The next chunk's turn begins when the returned guard is dropped.
    pub(super) fn pass<'a>(&self, mut turn: MutexGuard<'a, Turn>, ledger: LedgerState) -> MutexGuard<'a, Turn> {
        turn.ledger = ledger;
        turn.number += 1;
        self.changed.notify_all();
        turn
    }

    /// Records that a chunk was not committed: no later one may be.
    pub(super) fn fail(&self, number: u64) {
        let mut turn = self.lock();
        turn.broken_at = Some(turn.broken_at.map_or(number, |at| at.min(number)));
        self.changed.notify_all();
    }

    /// Continues with this chunk after a failure, from these ledger rows. No chunk may be in flight.
    pub(super) fn restart(&self, number: u64, ledger: LedgerState) {
        *self.lock() = Turn { number, broken_at: None, ledger };
    }
}
