//! The engine's configuration, and the callbacks to pause, stop and observe a run.

use std::fmt;
use std::time::Duration;

use crate::model::pace::Pace;
use crate::model::rules::OngoingTask;
use crate::model::run::{Counts, RunState};
use crate::model::stop_reason::StopReason;
use crate::store::db::{Retries, Store};

/// The configuration that all runs share.
#[derive(Debug, Clone)]
pub struct Engine {
    /// The database.
    pub store: Store,
    /// How the rule on ongoing tasks is interpreted.
    pub rules: OngoingTask,
    /// Chunk size, pauses between chunks, and concurrency.
    pub pace: Pace,
}

/// Callbacks with which the caller pauses, stops and observes a run.
pub struct Control<'a> {
    /// Decides whether the next chunk may begin. Called before each chunk, and repeatedly while the run is held.
    pub gate: Box<dyn FnMut(&Progress) -> Gate + 'a>,
    /// Called after each chunk, and whenever the run is held or continues.
    pub progress: Box<dyn FnMut(&Progress) + 'a>,
}

impl Control<'static> {
    /// Callbacks that never hold or stop the run and report nothing.
    #[must_use]
    pub fn unattended() -> Self {
        Self { gate: Box::new(|_| Gate::Go), progress: Box::new(|_| ()) }
    }
}

impl fmt::Debug for Control<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

/// Whether the next chunk may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// The next chunk may begin.
    Go,
    /// Not yet, because of this throttle. The gate is called again a little later.
    Hold(String),
    /// The run must stop.
    Stop(StopReason),
}

/// The progress of a run.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The run's id in the ledger.
    pub run_id: i64,
    /// The current campaign. It may no longer exist if the run is a prune. `None` while a prune deletes ledger rows.
    pub campaign_id: Option<i64>,
    /// Running, throttled, paused or stopping.
    pub state: RunState,
    /// The throttle or operator that holds the run, while it is throttled or paused.
    pub held_by: Option<String>,
    /// Numbers removed and barred so far in all campaigns, including those of an earlier process of the same run.
    pub counts: Counts,
    /// Chunks committed so far.
    pub chunks: i64,
    /// Retries in this process.
    pub retries: Retries,
    /// Total time for which the run was held.
    pub held: Duration,
    /// The chunk that was just committed. `None` if this report is not about a chunk.
    pub chunk: Option<ChunkProgress>,
}

/// The result of one chunk.
#[derive(Debug, Clone, Copy)]
pub struct ChunkProgress {
    /// Numbers that it removed, and that the rules barred.
    pub counts: Counts,
    /// Duration of the chunk. For restores and prunes it includes the search for the window, for sweeps it does not.
    pub took: Duration,
    /// The most numbers that the next chunk removes.
    pub next_size: usize,
}
