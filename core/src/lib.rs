//! The rules and the store of Callsweep: which outbound numbers may be removed, and how they are removed.
//!
//! Imports go downward: [`model`] has the terms of the domain, [`store`] everything that speaks SQL, [`engine`] the runs
//! that remove numbers, restore them and verify them. [`settings`] reads the settings file of both programs.

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
