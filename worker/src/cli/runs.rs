//! The arguments of `runs`.

use callsweep_core::campaign::{CampaignId, VdnId};
use callsweep_core::pace::PaceChange;
use callsweep_core::run::{RunKind, RunState};
use clap::Args;

use super::values::{Since, pace_change, run_id, run_kind, run_state, since, vdn};

#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    /// One run, with everything that is known about it
    #[arg(value_parser = run_id, conflicts_with_all = ["kind", "policy", "vdn", "campaign", "limit", "state", "since", "actor"])]
    pub(crate) id: Option<i64>,

    /// What the run is asked to do before its next chunk
    #[arg(value_enum, requires = "id")]
    pub(crate) action: Option<RunAction>,

    /// For set: target_chunk=100ms, max_chunk=1000, sleep_ratio=0.5
    #[arg(value_name = "KEY=VALUE", requires = "action", value_parser = pace_change)]
    pub(crate) changes: Vec<PaceChange>,

    /// Only runs that came this way: request, policy, manual, restore or prune
    #[arg(long, value_parser = run_kind)]
    pub(crate) kind: Option<RunKind>,

    /// Only runs of this policy
    #[arg(long, value_name = "NAME")]
    pub(crate) policy: Option<String>,

    /// Only runs in this VDN
    #[arg(long, value_name = "N", value_parser = vdn, allow_negative_numbers = true)]
    pub(crate) vdn: Option<VdnId>,

    /// Only runs on this campaign
    #[arg(long, value_name = "ID")]
    pub(crate) campaign: Option<CampaignId>,

    /// Only runs in this state, such as running, succeeded, stopped, failed or interrupted
    #[arg(long, value_name = "STATE", value_parser = run_state)]
    pub(crate) state: Option<RunState>,

    /// Only runs by this user, such as dba or dba@db1
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,

    /// Only runs that began since then: "yyyy-mm-dd hh:mm:ss" (UTC), today, yesterday, or an age such as -7d or -12h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = since)]
    pub(crate) since: Option<Since>,

    /// With pause, resume or cancel: wait until the run has done it
    #[arg(long, requires = "action")]
    pub(crate) wait: bool,

    /// The newest so many, 1 to 10000
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
}

/// What an operator asks of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum RunAction {
    /// Pause it between two chunks
    Pause,
    /// Continue it
    Resume,
    /// End it between two chunks
    Cancel,
    /// Change its pace
    Set,
}

impl std::fmt::Display for RunAction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Set => "change its pace",
        })
    }
}
