//! The endpoint over a real socket, as clients see it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod authentication;
mod contract;
mod cost;
mod demo;
mod examples;
mod fairness;
mod fuzz;
mod http;
mod keys;
mod lifecycle;
mod limits;
mod logs;
mod lost_answers;
mod metrics;
mod openapi;
mod precedence;
mod process;
mod proxies;
mod removal;
mod replay;
mod secrets;
mod server;
mod sign_command;
mod signer;
mod tls;
mod traces;
mod vectors;
mod verify_command;
