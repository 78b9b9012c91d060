//! The ledger: the table `purge_run` and its related tables record every run.

pub mod controls;
pub(crate) mod leases;
pub mod policies;
pub(crate) mod retention;
mod rows;
pub mod runs;
mod state;

pub(crate) use rows::{CampaignRow, Origin, RunEnd, RunRow, fit_stop_reason};
pub(crate) use state::{
    LedgerState, LedgerUpdate, beat, insert_campaigns, insert_run, insert_runs, is_saved, owner, save,
};
