//! The documented call: its request, its body, its execution and its answer.

pub mod answer;
mod answer_text;
pub mod body;
mod endpoint;
pub mod handler;
pub mod idempotency_key;
mod outcome;
mod request;

pub use endpoint::Endpoint;
pub use request::ROUTE;
