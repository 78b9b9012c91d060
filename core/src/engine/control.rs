//! What a run is made with, and the callbacks to pause, stop and observe it.

use std::fmt;
use std::time::Duration;

use crate::model::pace::Pace;
use crate::model::rules::OngoingTask;
use crate::model::run::{Counts, RunState};
use crate::model::stop_reason::StopReason;
use crate::store::db::{Retries, Store};

/// What a run is made with.
#[derive(Debug, Clone)]
pub struct Engine {
    /// The database.
    pub store: Store,
    /// How the rule of the ongoing task is read.
    pub rules: OngoingTask,
    /// How large chunks are, and how much time lies between them.
    pub pace: Pace,
}

/// The caller's hand on a run.
pub struct Control<'a> {
    /// Asked before each chunk, and while the run is held.
    pub gate: Box<dyn FnMut(&Progress) -> Gate + 'a>,
    /// Told after each chunk, and whenever the run is held or goes on.
    pub progress: Box<dyn FnMut(&Progress) + 'a>,
}

impl Control<'static> {
    /// Lets a run go to its end, unwatched.
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
    /// It may.
    Go,
    /// Not now, because of this throttle. The gate is asked again a little later.
    Hold(String),
    /// The run is to end.
    Stop(StopReason),
}

/// Where a run stands.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The run's id in the ledger.
    pub run_id: i64,
    /// The campaign under way. A prune knows those that are gone, too, and has none while it goes through the ledger.
    pub campaign_id: Option<i64>,
    /// Running, throttled, paused or stopping.
    pub state: RunState,
    /// What holds it, while it is throttled or paused.
    pub held_by: Option<String>,
    /// Removed and left so far, in all campaigns, those of an earlier process included.
    pub counts: Counts,
    /// How many chunks those were.
    pub chunks: i64,
    /// Attempts of this process that had to be made again.
    pub retries: Retries,
    /// How long it was held so far, in all.
    pub held: Duration,
    /// What the last chunk did and how long it took. `None` when this report is not about a chunk.
    pub chunk: Option<ChunkProgress>,
}

/// What one chunk did.
#[derive(Debug, Clone, Copy)]
pub struct ChunkProgress {
    /// What it removed and left.
    pub counts: Counts,
    /// How long it took: for a sweep the transaction, for the others with the search for its window.
    pub took: Duration,
    /// Numbers that the next one takes at most.
    pub next_size: usize,
}
