//! The arguments that end, hold or pace a run, for each command that makes one.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use callsweep_core::time_window::TimeWindow;
use clap::Args;
use secrecy::SecretString;

use super::values::{chunk_size, duration, ratio};

/// All of them.
#[derive(Debug, Clone, Args)]
pub(crate) struct ControlArgs {
    #[command(flatten)]
    pub(crate) limits: LimitArgs,

    #[command(flatten)]
    pub(crate) pace: PaceArgs,

    #[command(flatten)]
    pub(crate) throttle: ThrottleArgs,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "When it works")]
pub(crate) struct LimitArgs {
    /// Stop after this time, such as 30m or 2h
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) max_duration: Option<Duration>,

    /// Work only in these hours, such as 01:00-05:00 (in worker.time_zone); wait otherwise
    #[arg(long, value_name = "HH:MM-HH:MM")]
    pub(crate) window: Option<TimeWindow>,

    /// Stop when this file is there; do not begin when it is there already
    #[arg(long, value_name = "FILE")]
    pub(crate) stop_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Pace")]
pub(crate) struct PaceArgs {
    /// How long a chunk should take, such as 250ms; its size follows [default: worker.target_chunk]
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "chunk_size")]
    pub(crate) target_chunk: Option<Duration>,

    /// Numbers that one transaction takes at most, 1 to 100000 [default: worker.max_chunk]
    #[arg(long, value_name = "N", value_parser = chunk_size, conflicts_with = "chunk_size")]
    pub(crate) max_chunk: Option<NonZeroUsize>,

    /// Chunks of exactly this size, 1 to 100000
    #[arg(long, value_name = "N", value_parser = chunk_size)]
    pub(crate) chunk_size: Option<NonZeroUsize>,

    /// Rest after each chunk, as a multiple of the time that it took [default: worker.sleep_ratio]
    #[arg(long, value_name = "R", value_parser = ratio)]
    pub(crate) sleep_ratio: Option<f64>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Throttles: the run waits while one holds it [default: worker.throttle]")]
pub(crate) struct ThrottleArgs {
    /// Wait while a replica is further behind than this, such as 10s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) max_replica_lag: Option<Duration>,

    /// The URL of a MariaDB replica for --max-replica-lag; may be given more than once
    #[arg(long = "replica", value_name = "URL", requires = "max_replica_lag")]
    pub(crate) replicas: Vec<SecretString>,

    /// Wait while the database server runs more queries than this
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) max_running_queries: Option<i64>,

    /// Wait while this query gives an integer above --throttle-query-max
    #[arg(long, value_name = "SQL")]
    pub(crate) throttle_query: Option<String>,

    /// See --throttle-query
    #[arg(long, value_name = "N", default_value_t = 0, requires = "throttle_query", allow_negative_numbers = true)]
    pub(crate) throttle_query_max: i64,

    /// Wait while this address does not answer 2xx
    #[arg(long, value_name = "URL")]
    pub(crate) throttle_http: Option<String>,

    /// Wait while this file is there
    #[arg(long, value_name = "FILE")]
    pub(crate) throttle_file: Option<PathBuf>,
}
