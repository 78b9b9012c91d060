//! Why a run stopped between two chunks.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

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
