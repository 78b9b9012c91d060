//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use callsweep_core::campaign::{CampaignId, VdnId};
use callsweep_core::criteria::RecycleType;
use callsweep_core::number::{Called, CustomField, SessionId};
use callsweep_core::run::RunKind;
use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Parser, Subcommand};

use crate::exit::Exit;
use crate::output::Format;

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
    Sweep(SweepArgs),
    /// Shows the ledger: who removed what, when, by which filter
    Runs(RunsArgs),
    /// Checks settings, connection, tables, indexes and the database server
    Doctor,
    /// Makes a database with sample campaigns, and says what to try on it
    Demo(DemoArgs),
}

/// The columns are sessionId, called, caller, callData, customField, recycleTime and priority, in any order. The first
/// line names them. Only called is required. An empty cell is a value that is not given.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("into").required(true).args(["campaign", "create_campaign"])))]
pub(crate) struct ImportArgs {
    /// The CSV file, in UTF-8
    pub(crate) file: PathBuf,

    /// The VDN of the campaign, 1 to 9999
    #[arg(long, value_name = "N")]
    pub(crate) vdn: VdnId,

    /// The campaign that gets the numbers
    #[arg(long, value_name = "ID")]
    pub(crate) campaign: Option<CampaignId>,

    /// Make a campaign of this name for the numbers
    #[arg(long, value_name = "NAME", value_parser = campaign_name)]
    pub(crate) create_campaign: Option<String>,

    /// Where lines that cannot be read go [default: FILE.rejected.csv]
    #[arg(long, value_name = "FILE")]
    pub(crate) rejects: Option<PathBuf>,
}

/// All filters that are given must hold for a number; at least one is needed.
#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    /// The VDN of the campaign, 1 to 9999
    #[arg(long, value_name = "N")]
    pub(crate) vdn: VdnId,

    /// The campaign
    #[arg(long, value_name = "ID")]
    pub(crate) campaign: CampaignId,

    /// Only numbers with this sessionId
    #[arg(long, value_name = "TEXT")]
    pub(crate) session_id: Option<SessionId>,

    /// Only this called number
    #[arg(long, value_name = "NUMBER")]
    pub(crate) called: Option<Called>,

    /// Only numbers with this customField
    #[arg(long, value_name = "TEXT")]
    pub(crate) custom_field: Option<CustomField>,

    /// How --recycle-time is meant: 1 that day and every earlier one, 2 that day, 3 that second
    #[arg(long, value_name = "1|2|3", value_parser = RecycleType::parse, requires = "recycle_time")]
    pub(crate) recycle_type: Option<RecycleType>,

    /// "yyyy-mm-dd hh:mm:ss", an age such as -30d or -12h, today or yesterday (UTC)
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, requires = "recycle_type")]
    pub(crate) recycle_time: Option<String>,

    /// Move the numbers to the history table; without it they are deleted outright
    #[arg(long)]
    pub(crate) archive_history: bool,

    /// Numbers that one transaction looks at, 1 to 100000 [default: what takes worker.target_chunk]
    #[arg(long, value_name = "N", value_parser = chunk_size)]
    pub(crate) chunk_size: Option<NonZeroUsize>,

    /// Remove the numbers; without it nothing is changed
    #[arg(long)]
    pub(crate) execute: bool,

    /// Do not ask before many numbers go
    #[arg(long, requires = "execute")]
    pub(crate) yes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RunsArgs {
    /// One run, with everything that is known about it
    #[arg(conflicts_with_all = ["kind", "vdn", "campaign", "limit"])]
    pub(crate) id: Option<i64>,

    /// Only runs that came this way: request, policy or manual
    #[arg(long, value_parser = run_kind)]
    pub(crate) kind: Option<RunKind>,

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

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The SQLite file of the demo
    #[arg(long, value_name = "FILE", default_value = "callsweep-demo.db", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) database: String,
}

/// Characters that a campaign's name may have: the column's length.
const CAMPAIGN_NAME_MAX_CHARS: usize = 100;

fn campaign_name(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("a campaign's name must not be empty".to_owned());
    }
    if text.chars().count() > CAMPAIGN_NAME_MAX_CHARS {
        return Err(format!("a campaign's name has at most {CAMPAIGN_NAME_MAX_CHARS} characters"));
    }
    if text.chars().any(char::is_control) {
        return Err("a campaign's name has no control characters".to_owned());
    }
    Ok(text.to_owned())
}

/// Above this a transaction holds its locks for seconds.
const CHUNK_SIZE_MAX: usize = 100_000;

fn chunk_size(text: &str) -> Result<NonZeroUsize, String> {
    let size = text.parse().ok().filter(|size: &NonZeroUsize| size.get() <= CHUNK_SIZE_MAX);
    size.ok_or_else(|| format!("must be an integer from 1 to {CHUNK_SIZE_MAX}"))
}

fn run_kind(text: &str) -> Result<RunKind, String> {
    RunKind::from_column(text).ok_or_else(|| "must be request, policy or manual".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn limits_are_told() {
        assert!(chunk_size("0").is_err() && chunk_size("100001").is_err() && chunk_size("x").is_err());
        assert_eq!(chunk_size("100000").unwrap().get(), 100_000);
        assert!(
            campaign_name(" ").is_err() && campaign_name("a\nb").is_err() && campaign_name(&"字".repeat(101)).is_err()
        );
        assert_eq!(campaign_name(&"字".repeat(100)).unwrap().chars().count(), 100);
        assert_eq!(run_kind("manual").unwrap(), RunKind::Manual);
        assert!(run_kind("other").unwrap_err().contains("request, policy or manual"));
    }
}
