//! One suite, unchanged on every backend: which numbers go, which stay, and what the ledger says about it.

mod filters;
mod states;
