//! The flags of `sweep`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use callsweep_core::campaign::{CampaignId, VdnId};
use callsweep_core::criteria::RecycleType;
use callsweep_core::number::{Called, CustomField, SessionId};
use callsweep_core::pace::Lanes;
use callsweep_core::time_window::TimeWindow;
use clap::Args;
use secrecy::SecretString;

use super::values::{chunk_size, duration, percent, ratio};

/// All filters that are given must hold for a number; at least one is needed.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct SweepArgs {
    /// The VDN of the campaigns, 1 to 9999
    #[arg(long, value_name = "N", required_unless_present_any = ["resume", "policy"], conflicts_with = "resume")]
    pub(crate) vdn: Option<VdnId>,

    /// The campaign; may be given more than once
    #[arg(long = "campaign", value_name = "ID", required_unless_present_any = ["resume", "policy"], conflicts_with = "resume")]
    pub(crate) campaigns: Vec<CampaignId>,

    /// A policy of the settings, as it would fire now; everything else is as the policy says
    #[arg(long, value_name = "NAME", conflicts_with_all = ["vdn", "campaigns", "resume", "archive_history", "FilterArgs", "BoundArgs", "PaceArgs", "ThrottleArgs"])]
    pub(crate) policy: Option<String>,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,

    /// Move the numbers to the history table; without it they are deleted outright
    #[arg(long, conflicts_with = "resume")]
    pub(crate) archive_history: bool,

    /// Remove the numbers; without it nothing is changed
    #[arg(long)]
    pub(crate) execute: bool,

    /// Go on with a run that was stopped, failed or interrupted, from where it was
    #[arg(long, value_name = "RUN")]
    pub(crate) resume: Option<i64>,

    /// Do not ask before many numbers go
    #[arg(long)]
    pub(crate) yes: bool,

    /// Refresh the planner's statistics afterwards
    #[arg(long)]
    pub(crate) analyze: bool,

    /// Print no progress and no account
    #[arg(long)]
    pub(crate) quiet: bool,

    /// Say why the run ended, even with --quiet
    #[arg(long)]
    pub(crate) why: bool,

    /// Write the metrics of the run to a file, for the textfile collector of node_exporter
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics_file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) bounds: BoundArgs,

    #[command(flatten)]
    pub(crate) pace: PaceArgs,

    #[command(flatten)]
    pub(crate) throttle: ThrottleArgs,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Which numbers")]
pub(crate) struct FilterArgs {
    /// Only numbers with this sessionId
    #[arg(long, value_name = "TEXT", conflicts_with = "resume")]
    pub(crate) session_id: Option<SessionId>,

    /// Only this called number
    #[arg(long, value_name = "NUMBER", conflicts_with = "resume")]
    pub(crate) called: Option<Called>,

    /// Only numbers with this customField
    #[arg(long, value_name = "TEXT", conflicts_with = "resume")]
    pub(crate) custom_field: Option<CustomField>,

    /// How --recycle-time is meant: 1 that day and every earlier one, 2 that day, 3 that second
    #[arg(long, value_name = "1|2|3", value_parser = RecycleType::parse, requires = "recycle_time", conflicts_with = "resume")]
    pub(crate) recycle_type: Option<RecycleType>,

    /// "yyyy-mm-dd hh:mm:ss", an age such as -30d or -12h, today or yesterday (in worker.time_zone)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, requires = "recycle_type")]
    pub(crate) recycle_time: Option<String>,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Bounds: a run that is over removes nothing")]
pub(crate) struct BoundArgs {
    /// Refuse when more than N numbers would go
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) max_rows: Option<i64>,

    /// Refuse when more than P percent of a campaign would go
    #[arg(long, value_name = "P", value_parser = percent)]
    pub(crate) max_percent: Option<f64>,

    /// Refuse unless about N numbers would go
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) expect: Option<i64>,

    /// How far the number may be from --expect, in percent of it
    #[arg(long, value_name = "P", default_value_t = 0.0, value_parser = percent, requires = "expect")]
    pub(crate) expect_tolerance: f64,

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

    /// Chunks removed at the same time, 1 to 16, each on a connection of its own [default: worker.lanes]
    #[arg(long, value_name = "N")]
    pub(crate) lanes: Option<Lanes>,
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
