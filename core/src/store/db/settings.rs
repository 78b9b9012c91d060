//! The section `[database]` of the settings: the URL and the size of the connection pool.

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
    /// The most connections.
    pub pool_size: NonZeroU32,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self { url: SecretString::from("sqlite://callsweep.db"), pool_size: NonZeroU32::MIN.saturating_add(7) }
    }
}

/// Hides the URL, which may contain a password.
impl fmt::Debug for DatabaseSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseSettings").field("pool_size", &self.pool_size).finish_non_exhaustive()
    }
}
