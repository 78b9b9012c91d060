//! Attacks on the real program: killed, and sent more than it can do. See `docs/architecture/testing.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

#[allow(dead_code, reason = "the other test program uses the rest")]
#[path = "../api/http.rs"]
mod http;
mod kill;
mod load;
#[allow(dead_code, reason = "the other test program uses the rest")]
#[path = "../api/process.rs"]
mod process;
#[allow(dead_code, reason = "the other test program uses the rest")]
#[path = "../api/server.rs"]
mod server;
#[path = "../api/signer.rs"]
mod signer;
