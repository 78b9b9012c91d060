//! The documented endpoint of Callsweep: deletes outbound numbers over signed HTTP calls.
//!
//! A request passes through [`delete`], which asks [`auth`] who sent it and [`body`] what it wants, lets the engine
//! of `callsweep-core` do it, and writes an [`answer`]. [`work`] brings it there: requests for a few numbers [`gather`] and
//! are done together, the others wait in the [`queue`]. [`limits`] hold back what is too much;
//! [`telemetry`] and [`metrics`] tell operators what went on. [`server`] holds it all together; [`cli`] starts it.

pub mod answer;
pub mod auth;
pub mod body;
pub mod cli;
pub mod client;
pub mod connections;
pub mod delete;
pub mod demo;
pub mod diagnosis;
pub mod docs;
pub mod gather;
pub mod limits;
pub mod metrics;
pub mod openapi;
pub mod ops;
#[cfg(feature = "otlp")]
mod otlp;
pub mod queue;
pub mod reload;
pub mod replay;
pub mod server;
pub mod telemetry;
pub mod tls;
pub mod trace;
pub mod work;
