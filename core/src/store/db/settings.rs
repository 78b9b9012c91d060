//! `[database]`: where the database is, and how many connections there may be.

use std::fmt;
use std::num::NonZeroU32;

use secrecy::SecretString;
use serde::Deserialize;

/// `[database]`
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseSettings {
    /// `sqlite://PATH`, `postgres://USER:PASSWORD@HOST:PORT/NAME` or `mysql://…`.
    pub url: SecretString,
    /// Connections at most.
    pub pool_size: NonZeroU32,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self { url: SecretString::from("sqlite://callsweep.db"), pool_size: NonZeroU32::MIN.saturating_add(7) }
    }
}

/// Shows no URL: it may carry a password.
impl fmt::Debug for DatabaseSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseSettings").field("pool_size", &self.pool_size).finish_non_exhaustive()
    }
}
