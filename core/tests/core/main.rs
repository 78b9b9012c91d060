//! Tests of the rules and the store against real databases. See `docs/architecture/testing.md`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod access;
mod backlog;
mod collation;
mod columns;
mod conformance;
mod contention;
mod drift;
mod errors;
mod group;
mod hostile;
mod kit;
mod lanes;
mod languages;
mod proxy;
mod prune;
mod restore;
mod schema;
mod space;
mod statements;
mod storage;
mod support;
mod time;
mod trial;
mod upgrade;
mod verify;
