//! The commands, one file or folder each.

pub(crate) mod campaigns;
pub(crate) mod demo;
pub(crate) mod doctor;
pub(crate) mod generate;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod migrate;
pub(crate) mod runs;
pub(crate) mod sweep;
pub(crate) mod verify;
