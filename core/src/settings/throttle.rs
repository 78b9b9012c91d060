//! Throttles: what makes a sweep wait for others. Any number at once.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use crate::model::time_window::TimeWindow;

/// `[worker.throttle]` and `[sweep.throttle]`; what is not given does not hold a sweep.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ThrottleSettings {
    /// How far a replica may be behind. PostgreSQL: as `pg_stat_replication` says. MariaDB: as each of `replicas` says.
    #[serde(with = "humantime_serde::option")]
    pub max_replica_lag: Option<Duration>,
    /// The URLs of MariaDB's replicas. Shown nowhere: they may carry passwords.
    pub replicas: Vec<SecretString>,
    /// How many queries the database server may be running, ours not counted.
    pub max_running_queries: Option<i64>,
    /// A query with one integer as its result.
    pub query: Option<String>,
    /// What that integer may be at most.
    pub query_max: i64,
    /// An address that answers 2xx while sweeps may go on.
    pub http: Option<String>,
    /// A file that holds sweeps while it is there.
    pub flag_file: Option<PathBuf>,
    /// When sweeps may work, in `worker.time_zone`: `"01:00-05:00"`.
    #[serde(deserialize_with = "read_window")]
    pub window: Option<TimeWindow>,
}

fn read_window<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<TimeWindow>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(D::Error::custom)).transpose()
}
