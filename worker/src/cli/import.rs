//! The arguments of `import`.

use std::path::PathBuf;

use callsweep_core::campaign::{CampaignId, VdnId};
use clap::{ArgGroup, Args};

use super::values::{campaign_name, vdn};

/// The columns are sessionId, called, caller, callData, customField, recycleTime and priority, in any order; the first
/// line names them, and only called is required. Fields are separated by commas, semicolons or tabs. An empty field is a
/// value that is not given.
///
/// Lines that cannot be imported go to the rejects file, each with its line number and the reason. Mend them there and
/// import that file.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("into").required(true).args(["campaign", "create_campaign"])))]
pub(crate) struct ImportArgs {
    /// The CSV file, in UTF-8; - is standard input
    pub(crate) file: PathBuf,

    /// The VDN of the campaign, 1 to 9999
    #[arg(long, value_name = "N", value_parser = vdn, allow_negative_numbers = true)]
    pub(crate) vdn: VdnId,

    /// The campaign that gets the numbers
    #[arg(long, value_name = "ID")]
    pub(crate) campaign: Option<CampaignId>,

    /// Create a campaign of this name for the numbers
    #[arg(long, value_name = "NAME", value_parser = campaign_name)]
    pub(crate) create_campaign: Option<String>,

    /// Where lines that cannot be imported go; must not exist [default: FILE.rejected.csv]
    #[arg(long, value_name = "FILE")]
    pub(crate) rejects: Option<PathBuf>,
}
