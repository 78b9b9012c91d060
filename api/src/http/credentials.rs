//! What lets clients in: the access keys and the certificate, from settings and files alone. So a mistake in them is
//! reported whether or not the database can be reached.

use std::sync::Arc;

use callsweep_core::settings::ApiSettings;

use super::tls::{Tls, TlsError};
use crate::auth::{Keys, KeysError};
use crate::call::idempotency_key::{self, ReplayTurnedOff};

/// The access keys and the certificate of a server.
#[derive(Debug)]
pub struct Credentials {
    pub(super) keys: Keys,
    pub(super) tls: Option<Arc<Tls>>,
}

/// Why they cannot be used. Each text says what to do.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
#[allow(missing_docs, reason = "the texts say it")]
pub enum CredentialsError {
    Replay(#[from] ReplayTurnedOff),
    Keys(#[from] KeysError),
    Tls(#[from] TlsError),
}

impl Credentials {
    /// Reads `[api]`, and the files that it names.
    ///
    /// # Errors
    /// A key, a file or a setting that makes replays possible.
    pub fn load(api: &ApiSettings) -> Result<Self, CredentialsError> {
        Ok(Self { keys: keys(api)?, tls: api.tls.as_ref().map(Tls::load).transpose()?.map(Arc::new) })
    }
}

/// The access keys alone, as at a reload.
pub(super) fn keys(api: &ApiSettings) -> Result<Keys, CredentialsError> {
    idempotency_key::check_settings(api)?;
    Ok(Keys::new(api)?)
}
