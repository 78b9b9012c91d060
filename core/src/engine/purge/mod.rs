//! Removes numbers: sweeps and requests.
//!
//! `run` iterates over the campaigns of a run, `campaign` begins and ends one campaign. Its chunks are removed one by one
//! (`one_by_one`: requests, and chunks that failed in a lane) or concurrently (`lanes`: sweeps). `group` is the group
//! commit: small requests share a transaction.

mod campaign;
mod group;
mod lanes;
mod one_by_one;
mod run;

pub use group::{BATCH_MAX, BatchOutcome, UnknownCommit, can_be_batched, purge_batch, resolve_unknown_commit};
pub use run::{purge, resume};
