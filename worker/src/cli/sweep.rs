//! The flags of `sweep`.

use std::path::PathBuf;

use callsweep_core::criteria::RecycleType;
use callsweep_core::number::{Called, CustomField, SessionId};
use callsweep_core::pace::Lanes;
use clap::Args;

use super::control::ControlArgs;
use super::values::{CampaignChoice, VdnChoice, called, campaign_choice, percent, run_id, vdn_choice};

/// All filters that are given must hold for a number; at least one is needed.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct SweepArgs {
    /// The VDN of the campaigns, 1 to 9999, or all
    #[arg(long, value_name = "N", value_parser = vdn_choice, allow_negative_numbers = true, required_unless_present_any = ["resume", "policy"], conflicts_with = "resume")]
    pub(crate) vdn: Option<VdnChoice>,

    /// The campaign: an id, a pattern of names such as 'Spring*', or all; may be given more than once
    #[arg(long = "campaign", value_name = "ID", value_parser = campaign_choice, allow_negative_numbers = true, required_unless_present_any = ["resume", "policy"], conflicts_with = "resume")]
    pub(crate) campaigns: Vec<CampaignChoice>,

    /// A policy of the settings, as it would fire now; everything else is as the policy says
    #[arg(long, value_name = "NAME", conflicts_with_all = ["vdn", "campaigns", "resume", "archive_history", "lanes", "FilterArgs", "BoundArgs", "LimitArgs", "PaceArgs", "ThrottleArgs"])]
    pub(crate) policy: Option<String>,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,

    /// Move the numbers to the history table; without it they are deleted outright
    #[arg(long, conflicts_with = "resume")]
    pub(crate) archive_history: bool,

    /// Remove the numbers; without it nothing is changed
    #[arg(long)]
    pub(crate) execute: bool,

    /// Print the SQL that a run would execute, and change nothing; values of filters are masked
    #[arg(long, conflicts_with_all = ["execute", "resume"])]
    pub(crate) show_sql: bool,

    /// Continue a run that was stopped, failed or interrupted, from where it was
    #[arg(long, value_name = "RUN", value_parser = run_id)]
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

    /// Chunks removed at the same time, 1 to 16, each on a connection of its own [default: worker.lanes]
    #[arg(long, value_name = "N", help_heading = "Pace")]
    pub(crate) lanes: Option<Lanes>,

    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Which numbers")]
pub(crate) struct FilterArgs {
    /// Only numbers with this sessionId
    #[arg(long, value_name = "TEXT", conflicts_with = "resume")]
    pub(crate) session_id: Option<SessionId>,

    /// Only this called number
    #[arg(long, value_name = "NUMBER", value_parser = called, conflicts_with = "resume")]
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
}
