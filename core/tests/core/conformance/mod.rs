//! Which numbers are removed, which stay, and what the ledger records: one suite, the same on every backend.

mod archive;
mod chunks;
mod concurrent;
mod filters;
mod ledger;
mod preview;
mod states;
