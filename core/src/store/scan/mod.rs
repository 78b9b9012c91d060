//! Which numbers a run looks at, in which order, and how many at a time.

pub(crate) mod choose;
mod pages;
pub(crate) mod predicate;
pub(crate) mod walker;
pub(crate) mod window;
