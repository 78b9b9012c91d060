//! The tables that Callsweep shares with the dialler, and history: statements that read, insert, move and delete rows.

pub mod campaigns;
pub(crate) mod chunk;
pub(crate) mod group;
pub(crate) mod history;
pub(crate) mod moving;
pub mod numbers;
