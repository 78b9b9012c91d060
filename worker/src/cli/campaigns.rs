//! The arguments of `campaigns`.

use callsweep_core::campaign::VdnId;
use callsweep_core::settings::Campaigns;
use clap::Args;

use super::values::{campaign_pattern, vdn};

/// Numbers are counted by a scan of each campaign, up to --count-up-to. Due are those that wait and whose recycle time is
/// over.
#[derive(Debug, Args)]
pub(crate) struct CampaignsArgs {
    /// Only campaigns with such a name; * is any text, ? any character
    #[arg(value_name = "PATTERN", value_parser = campaign_pattern)]
    pub(crate) name: Option<Campaigns>,

    /// Only campaigns of this VDN
    #[arg(long, value_name = "N", value_parser = vdn, allow_negative_numbers = true)]
    pub(crate) vdn: Option<VdnId>,

    /// Campaigns to list, 1 to 10000
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,

    /// Numbers of a campaign to count, and rows of its history
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(i64).range(1..=100_000_000))]
    pub(crate) count_up_to: i64,
}
