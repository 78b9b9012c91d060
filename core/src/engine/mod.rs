//! The engine: the operations on numbers. It contains no SQL and prints nothing.
//!
//! [`purge`] removes numbers, [`restore`] moves them from history back to `call_data`, [`prune`] deletes history whose
//! retention has ended. Each is recorded in the ledger as a run and works in chunks, one transaction per chunk.
//! [`preview`], [`backlog`] and [`verify`] only read.

pub mod backlog;
mod control;
mod error;
mod heartbeat;
mod history_chunks;
mod hold;
mod open_run;
pub mod preview;
pub mod prune;
mod purge;
mod report;
pub mod restore;
pub mod show_sql;
mod sizer;
pub mod verify;

pub use control::{ChunkProgress, Control, Engine, Gate, Progress};
pub use error::{Clashes, Error};
pub use history_chunks::HistoryReport;
pub use purge::{
    BATCH_MAX, BatchOutcome, UnknownCommit, can_be_batched, purge, purge_batch, resolve_unknown_commit, resume,
};
pub use report::{CampaignReport, Outcome, PurgeReport};
