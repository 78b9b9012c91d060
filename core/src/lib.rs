//! The core of Callsweep: which outbound numbers may be removed, and how they are removed.
//!
//! Layers, each of which imports only those before it: [`model`] has the types of the domain, [`store`] everything that
//! executes SQL, [`engine`] the runs that remove, restore and verify numbers. [`settings`] reads the settings file of both
//! programs.

pub mod clock;
pub mod demo;
pub mod engine;
pub mod failpoint;
pub mod id;
pub mod model;
pub mod settings;
pub mod store;

pub use model::{
    age, bounds, campaign, criteria, invalid, number, outcome_code, pace, recycle_at, result_code, rules, run,
    schedule, stop_reason, time_window, walk,
};
