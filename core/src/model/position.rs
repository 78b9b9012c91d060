//! Positions: how far a walk has come, and how the ledger's cursor says so.

use std::fmt;
use std::str::FromStr;

/// A place on a walk: everything up to and including it has been dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Position {
    /// By id.
    Id(i64),
    /// By recycle time, in the database's own words, then id.
    RecycleTime(String, i64),
}

/// As the ledger's column `cursor` shows it.
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
