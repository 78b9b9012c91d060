//! The arguments of `runs`.

use callsweep_core::campaign::{CampaignId, VdnId};
use callsweep_core::pace::PaceChange;
use callsweep_core::run::RunKind;
use clap::Args;

use super::values::{pace_change, run_kind};

#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    /// One run, with everything that is known about it
    #[arg(conflicts_with_all = ["kind", "policy", "vdn", "campaign", "limit"])]
    pub(crate) id: Option<i64>,

    /// What the run is to do from its next chunk on
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
    #[arg(long, value_name = "N")]
    pub(crate) vdn: Option<VdnId>,

    /// Only runs on this campaign
    #[arg(long, value_name = "ID")]
    pub(crate) campaign: Option<CampaignId>,

    /// The newest so many, 1 to 10000
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
}

/// What an operator asks of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum RunAction {
    /// Hold between two chunks
    Pause,
    /// Go on
    Resume,
    /// End between two chunks
    Cancel,
    /// Change the pace
    Set,
}
