//! The types of the domain. Input is parsed into them at the edge, so every value is valid. They execute no SQL.

pub mod age;
pub mod bounds;
pub mod campaign;
mod column;
pub mod criteria;
pub mod invalid;
pub mod number;
pub mod outcome_code;
pub mod pace;
pub(crate) mod position;
pub mod recycle_at;
pub mod result_code;
pub mod rules;
pub mod run;
pub mod schedule;
pub mod stop_reason;
pub mod time_window;
pub mod walk;
