//! What becomes of numbers in history: they come back ([`restore`]), or their retention ends ([`prune`]). Both are runs of
//! the ledger, in chunks, as sweeps are.

mod age;
mod chunks;
pub mod prune;
pub mod restore;

use std::num::NonZeroUsize;

use crate::purge::Outcome;

pub use age::cutoff;

/// What a restore or a prune did.
#[derive(Debug)]
pub struct HistoryReport {
    /// The run's id in the ledger.
    pub run_id: i64,
    /// How it ended.
    pub outcome: Outcome,
    /// Numbers that left history, all committed.
    pub numbers: i64,
    /// Chunks committed.
    pub chunks: i64,
    /// Attempts that had to be made again.
    pub retries: i64,
}

/// Rows that one query of a preview counts at most: it locks nothing, so it may be larger than a chunk.
const PREVIEW_WINDOW: NonZeroUsize = NonZeroUsize::new(50_000).unwrap();
