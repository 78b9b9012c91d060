//! `[worker]`: how sweeps go.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use chrono_tz::Tz;
use serde::{Deserialize, Deserializer};

use crate::model::pace::{Lanes, Pace};
use crate::settings::{PolicyPace, ThrottleSettings};

/// `[worker]`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkerSettings {
    /// The zone of wall-clock times: windows, schedules, ages. An IANA name.
    #[serde(deserialize_with = "time_zone")]
    pub time_zone: Tz,
    /// How long a chunk should take; its size follows.
    #[serde(with = "humantime_serde")]
    pub target_chunk: Duration,
    /// Numbers that one transaction takes at most.
    pub max_chunk: NonZeroUsize,
    /// Time given to others after a chunk, as a multiple of the time that the chunk took.
    pub sleep_ratio: f64,
    /// Chunks that are removed at the same time.
    pub lanes: Lanes,
    /// Above so many numbers a person on a terminal is asked first.
    pub confirm_above: i64,
    /// Where the daemon answers for its metrics and its health.
    #[serde(deserialize_with = "crate::settings::api::address")]
    pub ops_listen: SocketAddr,
    /// What makes every sweep wait for others.
    pub throttle: ThrottleSettings,
}

fn time_zone<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Tz, D::Error> {
    crate::settings::parsed(deserializer, "a zone of the IANA database such as \"Europe/Berlin\"", |text| {
        text.parse().ok()
    })
}

impl Default for WorkerSettings {
    fn default() -> Self {
        Self {
            time_zone: Tz::UTC,
            target_chunk: Duration::from_millis(250),
            max_chunk: NonZeroUsize::MIN.saturating_add(49_999),
            sleep_ratio: 0.0,
            lanes: Lanes::ONE,
            confirm_above: 10_000,
            ops_listen: SocketAddr::from(([127, 0, 0, 1], 9091)),
            throttle: ThrottleSettings::default(),
        }
    }
}

impl WorkerSettings {
    /// How fast a sweep goes that says nothing else.
    #[must_use]
    pub fn pace(&self) -> Pace {
        Pace {
            max_chunk: self.max_chunk,
            target_chunk: Some(self.target_chunk),
            sleep_ratio: self.sleep_ratio,
            lanes: self.lanes,
        }
    }

    /// How fast a policy goes.
    #[must_use]
    pub fn pace_of(&self, policy: PolicyPace) -> Pace {
        let target_chunk = policy.target_chunk.unwrap_or(self.target_chunk);
        Pace {
            max_chunk: policy.chunk_size.or(policy.max_chunk).unwrap_or(self.max_chunk),
            target_chunk: policy.chunk_size.is_none().then_some(target_chunk),
            sleep_ratio: policy.sleep_ratio.unwrap_or(self.sleep_ratio),
            lanes: policy.lanes.unwrap_or(self.lanes),
        }
    }
}
