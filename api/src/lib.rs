//! The HTTP endpoint of Callsweep: deletes outbound numbers on signed requests.
//!
//! Modules import only those above them:
//! - [`auth`]: who signed a request.
//! - [`limits`]: how much one client may use.
//! - [`telemetry`]: logs, metrics and traces.
//! - [`execution`]: runs the engine of `callsweep-core` for a request: in a group commit or alone, once.
//! - [`call`]: the documented call, from the request to the answer.
//! - [`openapi`]: the OpenAPI document and its page.
//! - [`http`]: listeners, TLS, health checks, reload and shutdown.
//! - [`cli`]: the program's commands.

pub mod auth;
pub mod call;
pub mod cli;
pub mod execution;
pub mod http;
pub mod limits;
pub mod openapi;
pub mod telemetry;
