//! Questions about the database itself: its settings, its load, its space, and whether its rows agree with the ledger.

pub(crate) mod audit;
pub mod inspect;
pub mod load;
pub mod space;
pub mod text;
mod trial;
