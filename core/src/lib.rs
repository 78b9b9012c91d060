//! The rules and the store of Callsweep: which outbound numbers may be removed, and how they go.
//!
//! Data goes one way: a request, a policy or a command line is parsed into [`criteria::Criteria`];
//! a run is opened in the ledger ([`run`]); [`purge`] removes the numbers chunk by chunk, each chunk one
//! transaction; a [`purge::PurgeReport`] says what happened. All SQL lives in [`store`].

pub mod backlog;
pub mod bounds;
pub mod campaign;
pub mod clock;
pub mod criteria;
pub mod demo;
pub mod error;
pub mod failpoint;
pub mod history;
pub mod id;
pub mod number;
pub mod preview;
pub mod purge;
pub mod recycle_at;
pub mod result_code;
pub mod rules;
pub mod run;
pub mod schedule;
pub mod settings;
pub mod store;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod time_window;
pub mod verify;
