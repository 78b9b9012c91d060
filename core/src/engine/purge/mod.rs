//! Removes numbers: sweeps and requests.
//!
//! `run` goes through the campaigns of a run, `campaign` begins and ends one, and its chunks are removed one by one
//! (requests, and whatever failed) or concurrently (`lanes`: sweeps). `group` lets requests for a few numbers share a
//! transaction.

mod campaign;
mod group;
mod lanes;
mod one_by_one;
mod run;

pub use group::{MOST_TOGETHER, Together, Unanswered, goes_together, purge_together, settle};
pub use run::{purge, resume};
