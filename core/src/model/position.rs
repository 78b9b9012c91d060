//! Positions in a scan, and their text in the ledger's column `cursor`.

use std::fmt;
use std::str::FromStr;

/// A position in a scan: everything up to and including it has been processed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Position {
    /// In a scan by id.
    Id(i64),
    /// In a scan by recycle time (as the database prints it) and id.
    RecycleTime(String, i64),
}

/// The text in the ledger's column `cursor`.
impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "{id}"),
            Self::RecycleTime(time, id) => write!(f, "{time}/{id}"),
        }
    }
}

impl FromStr for Position {
    type Err = UnreadableCursor;

    fn from_str(text: &str) -> Result<Self, UnreadableCursor> {
        let unreadable = || UnreadableCursor(text.to_owned());
        let Some((time, id)) = text.rsplit_once('/') else {
            return text.parse().map(Self::Id).map_err(|_| unreadable());
        };
        id.parse().map(|id| Self::RecycleTime(time.to_owned(), id)).map_err(|_| unreadable())
    }
}

/// A cursor that no version of Callsweep writes.
#[derive(Debug, thiserror::Error)]
#[error("the cursor {0:?}")]
pub(crate) struct UnreadableCursor(String);
