//! The arguments of `restore` and `prune-history`.

use clap::Args;

use super::control::ControlArgs;
use super::values::run_id;

/// Numbers come back as they were, status and times included. What is left when it ends early is still in history: the
/// same command goes on with it.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The run that archived the numbers
    #[arg(value_name = "RUN", value_parser = run_id)]
    pub(crate) run_id: i64,

    /// Restore the numbers; without it nothing is changed
    #[arg(long)]
    pub(crate) execute: bool,

    /// Restore into an executing campaign too: its dialler will call the numbers
    #[arg(long)]
    pub(crate) into_executing: bool,

    /// Do not ask before many numbers return
    #[arg(long, requires = "execute")]
    pub(crate) yes: bool,

    #[command(flatten)]
    pub(crate) control: ControlArgs,
}

/// Rows of call_data_history go for good, and then the rows of the ledger that are as old and have no history left.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// What was archived longer ago than this goes: 90d, 26w or 2y
    #[arg(long, value_name = "AGE", allow_hyphen_values = true)]
    pub(crate) older_than: String,

    /// Refuse before the first row if more rows of history than this would go
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) max_rows: Option<i64>,

    /// Remove them; without it nothing is changed
    #[arg(long)]
    pub(crate) execute: bool,

    /// Do not ask before many rows go
    #[arg(long, requires = "execute")]
    pub(crate) yes: bool,

    #[command(flatten)]
    pub(crate) control: ControlArgs,
}
