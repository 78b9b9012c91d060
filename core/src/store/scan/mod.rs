//! Scans: which numbers of a campaign a run reads, along which index, and how many at a time.

pub(crate) mod choose;
mod pages;
pub(crate) mod predicate;
pub(crate) mod walker;
pub(crate) mod window;
