//! Why a run stopped between two chunks.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

/// Why a run stopped between two chunks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// An operator stopped it at the terminal or by a signal.
    Person,
    /// An operator cancelled it with a command, through the ledger.
    Cancelled {
        /// The operator.
        actor: String,
    },
    /// The stop file exists.
    StopFile(PathBuf),
    /// The maximum duration was reached.
    MaxDuration(Duration),
    /// The maximum duration was reached while a throttle held the run.
    Throttle {
        /// The throttle.
        by: String,
    },
    /// `max_rows` was reached.
    MaxRows(i64),
    /// The campaign began to execute, which bars all its numbers.
    CampaignExecuting,
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person => f.write_str("stopped by a person"),
            Self::Cancelled { actor } => write!(f, "cancelled by {actor}"),
            Self::StopFile(file) => write!(f, "the stop file {} exists", file.display()),
            Self::MaxDuration(duration) => write!(f, "max_duration of {} s was reached", duration.as_secs()),
            Self::Throttle { by } => write!(f, "max_duration was reached while it was held by {by}"),
            Self::MaxRows(rows) => write!(f, "max_rows = {rows} was reached"),
            Self::CampaignExecuting => f.write_str("the campaign began to execute"),
        }
    }
}
