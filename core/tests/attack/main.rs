//! Fault injection: faults, how often they are injected, and the guarantees that must hold. See
//! `docs/architecture/testing.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "tests")]

mod failover;
mod galera;
mod kill;
mod load;
#[path = "../core/proxy.rs"]
mod proxy;
mod races;
mod server;
#[allow(dead_code, reason = "the other test program uses the rest")]
#[path = "../core/support.rs"]
mod support;
