//! The command line: arguments, values, exit codes, and what is printed.

mod campaigns;
mod control;
pub(crate) mod exit;
mod history;
mod import;
pub(crate) mod output;
pub(crate) mod progress;
mod runs;
mod sweep;
pub(crate) mod table;
pub(crate) mod values;

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

pub(crate) use campaigns::CampaignsArgs;
pub(crate) use control::{ControlArgs, PaceArgs, ThrottleArgs};
pub(crate) use history::{PruneArgs, RestoreArgs};
pub(crate) use import::ImportArgs;
pub(crate) use runs::{RunAction, RunsArgs};
pub(crate) use sweep::{BoundArgs, FilterArgs, SweepArgs};

use exit::Exit;
use output::Format;

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
    /// Lists campaigns with their numbers: waiting, due, in use, completed, in history
    Campaigns(CampaignsArgs),
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
