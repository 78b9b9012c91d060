//! What every command takes from its surroundings: the operator, signals, the database.

pub(crate) mod actor;
pub(crate) mod confirm;
pub(crate) mod database;
pub(crate) mod stop;
