//! The engine: what is done with numbers. It knows no SQL, and prints nothing.
//!
//! [`purge`] removes numbers, [`restore`] takes them back out of history, [`prune`] ends the retention of history. Each is a
//! run of the ledger that goes chunk by chunk. [`preview`], [`backlog`] and [`verify`] only read.

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
mod sizer;
pub mod verify;

pub use control::{ChunkProgress, Control, Engine, Gate, Progress};
pub use error::{Clashes, Error};
pub use history_chunks::HistoryReport;
pub use purge::{MOST_TOGETHER, Together, Unanswered, goes_together, purge, purge_together, resume, settle};
pub use report::{CampaignReport, Outcome, PurgeReport};
