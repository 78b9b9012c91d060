//! The engine that removes numbers, for all three kinds of user. It knows no SQL and prints nothing.
//!
//! `run` goes through the campaigns of a run, `campaign` begins and ends one, and its chunks are removed one by one
//! (`chunks`: requests, and whatever went wrong) or side by side (`lanes`: sweeps). Before each chunk `hold` asks whether
//! to go on, and `pace` says how large it is. `group` lets requests for a few numbers share a transaction.

mod campaign;
mod chunks;
mod group;
mod heartbeat;
mod hold;
mod lanes;
mod open;
mod pace;
mod report;
mod run;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use crate::rules::OngoingTask;
use crate::run::{Counts, RunState};
use crate::store::{Retries, Store};

pub use group::{MOST_TOGETHER, Together, Unanswered, goes_together, purge_together, settle};
pub(crate) use open::{OpenRun, beside_a_heartbeat};
pub use pace::{Lanes, Pace, PaceChange};
pub use report::{CampaignReport, Outcome, PurgeReport};
pub use run::{purge, resume};

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

/// Why a run stopped between two chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// Somebody asked it to, at its terminal or by a signal.
    Person,
    /// Somebody asked it to, through the ledger.
    Cancelled {
        /// Who.
        actor: String,
    },
    /// The file that stops runs is there.
    StopFile(PathBuf),
    /// It took as long as it may.
    MaxDuration(Duration),
    /// Its time was over while a throttle held it.
    Throttle {
        /// Which.
        by: String,
    },
    /// As many numbers are gone as may go.
    MaxRows(i64),
    /// The campaign began to execute, which bars all its numbers.
    CampaignExecuting,
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person => f.write_str("stopped by a person"),
            Self::Cancelled { actor } => write!(f, "cancelled by {actor}"),
            Self::StopFile(file) => write!(f, "the stop file {} is there", file.display()),
            Self::MaxDuration(duration) => write!(f, "max_duration of {} s is over", duration.as_secs()),
            Self::Throttle { by } => write!(f, "its time was over while it was held by {by}"),
            Self::MaxRows(rows) => write!(f, "max_rows = {rows} are gone"),
            Self::CampaignExecuting => f.write_str("the campaign began to execute"),
        }
    }
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
