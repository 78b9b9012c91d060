//! One suite, unchanged on every backend: which numbers go, which stay, and what the ledger says about it.

mod archive;
mod chunks;
mod concurrent;
mod filters;
mod ledger;
mod preview;
mod states;
