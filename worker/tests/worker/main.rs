//! Tests of the program itself, as a DBA and a scheduler start it.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod bounds;
mod campaigns;
mod command_line;
mod daemon;
mod demo;
mod doctor;
mod generate;
mod held;
mod import;
mod input;
mod metrics;
mod migrate;
mod policies;
mod program;
mod prune;
mod restore;
mod runs;
mod secrets;
mod space;
mod stop;
mod sweep;
mod verify;
