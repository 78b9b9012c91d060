//! The pace of a run: chunk size, chunk duration, pauses and concurrency.

use std::num::NonZeroUsize;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The pace of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// The most numbers that one transaction removes.
    pub max_chunk: NonZeroUsize,
    /// How long a transaction should take. `None`: every chunk has the size `max_chunk`.
    pub target_chunk: Option<Duration>,
    /// The pause after a chunk, as a multiple of the duration of the chunk.
    pub sleep_ratio: f64,
    /// Chunks that a sweep removes at the same time.
    pub lanes: Lanes,
}

impl Pace {
    /// A fixed chunk size, without pauses and concurrency.
    #[must_use]
    pub fn fixed(chunk: NonZeroUsize) -> Self {
        Self { max_chunk: chunk, target_chunk: None, sleep_ratio: 0.0, lanes: Lanes::ONE }
    }
}

/// How many chunks a sweep removes at the same time, each on its own connection. SQLite allows one writer, and with
/// `max_rows` each chunk depends on the previous one: both use one lane, whatever the setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Lanes(usize);

/// The most lanes. More would compete with the server's other clients for its cores.
const LANES_MAX: usize = 16;

impl Lanes {
    /// One chunk after the other.
    pub const ONE: Self = Self(1);

    /// 1 to 16.
    #[must_use]
    pub fn get(self) -> usize {
        self.0
    }
}

impl TryFrom<i64> for Lanes {
    type Error = String;

    fn try_from(lanes: i64) -> Result<Self, String> {
        let lanes = usize::try_from(lanes).ok().filter(|lanes| (1..=LANES_MAX).contains(lanes));
        lanes.map(Self).ok_or_else(out_of_range)
    }
}

fn out_of_range() -> String {
    format!("lanes must be an integer from 1 to {LANES_MAX}")
}

impl FromStr for Lanes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse::<i64>().map_or_else(|_| Err(out_of_range()), Self::try_from)
    }
}

/// Changes of the pace by an operator while the run is in progress: the JSON in `purge_run_control.pace`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "snake_case")]
pub struct PaceChange {
    /// See [`Pace::target_chunk`], in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_chunk_ms: Option<u64>,
    /// See [`Pace::max_chunk`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_chunk: Option<NonZeroUsize>,
    /// See [`Pace::sleep_ratio`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sleep_ratio: Option<f64>,
}

impl PaceChange {
    /// Combines two changes. Where both change a value, `later` wins.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self {
            target_chunk_ms: later.target_chunk_ms.or(self.target_chunk_ms),
            max_chunk: later.max_chunk.or(self.max_chunk),
            sleep_ratio: later.sleep_ratio.or(self.sleep_ratio),
        }
    }

    /// `pace` with these changes.
    #[must_use]
    pub fn apply(self, pace: Pace) -> Pace {
        Pace {
            max_chunk: self.max_chunk.unwrap_or(pace.max_chunk),
            target_chunk: self.target_chunk_ms.map(Duration::from_millis).or(pace.target_chunk),
            sleep_ratio: self.sleep_ratio.unwrap_or(pace.sleep_ratio),
            lanes: pace.lanes,
        }
    }
}
