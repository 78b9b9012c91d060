//! The command line.

mod sweep;
mod values;

use std::path::PathBuf;

use callsweep_core::campaign::{CampaignId, VdnId};
use callsweep_core::pace::PaceChange;
use callsweep_core::run::RunKind;
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::exit::Exit;
use crate::output::Format;
use crate::prune_history::PruneArgs;
use crate::restore::RestoreArgs;

pub(crate) use sweep::{BoundArgs, FilterArgs, PaceArgs, SweepArgs, ThrottleArgs};

use values::{campaign_name, pace_change, run_kind};

/// Removes outbound numbers from campaigns, and says exactly what it removed.
///
/// Results go to stdout, everything else to stderr.
#[derive(Debug, Parser)]
#[command(name = "callsweep-worker", version, after_help = Exit::help())]
pub(crate) struct Cli {
    /// The settings file; without it callsweep.toml in the working directory, where there is one
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,

    /// How results are written
    #[arg(long, value_enum, default_value_t, global = true)]
    pub(crate) format: Format,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Brings the database's tables up to date; creates a missing SQLite file
    Migrate,
    /// Reads numbers from a CSV file into a campaign
    Import(ImportArgs),
    /// Shows which numbers a filter would remove; removes them with --execute
    Sweep(Box<SweepArgs>),
    /// The daemon: sweeps by the policies of the settings, on their schedules
    Run,
    /// Shows the ledger: who removed what, when, by which filter
    Runs(RunsArgs),
    /// Shows which archived numbers of a run would return to their campaigns; returns them with --execute
    Restore(RestoreArgs),
    /// Checks the promises on the data as it is, and changes nothing
    Verify,
    /// Shows which history is old enough to go for good; deletes it with --execute
    PruneHistory(PruneArgs),
    /// Checks settings, connection, tables, indexes and the database server
    Doctor,
    /// Makes a database with sample campaigns, and says what to try on it
    Demo(DemoArgs),
    /// Prints the completions of a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Writes man pages into a directory
    Man {
        /// The directory
        dir: PathBuf,
    },
}

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
    #[arg(long, value_name = "N")]
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

/// What a person says to a run.
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

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The SQLite file of the demo
    #[arg(long, value_name = "FILE", default_value = "callsweep-demo.db", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) database: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
