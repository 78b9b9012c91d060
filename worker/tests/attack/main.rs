//! Attacks on the real program. See `docs/architecture/testing.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod kill;
#[allow(dead_code, reason = "the other test program uses the rest")]
#[path = "../worker/program.rs"]
mod program;
