//! Reload of keys and certificates while the server runs. What cannot be used changes nothing.

use std::sync::Arc;

use actix_web::web;
use callsweep_core::settings::{Settings, SettingsError};
use tracing::{error, info};

use super::credentials;
use super::tls::Tls;
use crate::call::Endpoint;

/// Reloads a running server. The log and the metrics say what was done.
#[derive(Clone)]
pub struct Reload {
    pub(crate) endpoint: web::Data<Endpoint>,
    pub(crate) tls: Option<Arc<Tls>>,
}

impl Reload {
    /// Takes the keys of new settings, and reads the files of `[api.tls]` again.
    pub fn all(&self, settings: Result<&Settings, &SettingsError>) {
        let keys = settings
            .map_err(ToString::to_string)
            .and_then(|settings| credentials::keys(&settings.api).map_err(|error| error.to_string()));
        self.endpoint.metrics.reloaded("keys", keys.is_ok());
        match keys {
            Ok(keys) => {
                info!(keys = keys.count(), "the keys were read again");
                self.endpoint.keys.store(Arc::new(keys));
            }
            Err(error) => error!(error, "the keys were not read again: those from before stay"),
        }
        self.tls();
    }

    /// Reads the files of `[api.tls]` again where they have changed.
    pub(crate) fn changed_tls(&self) {
        if self.tls.as_ref().is_some_and(|tls| tls.has_changed()) {
            self.tls();
        }
    }

    fn tls(&self) {
        let Some(tls) = &self.tls else { return };
        let read = tls.reload();
        self.endpoint.metrics.certificate_until(tls.expires());
        self.endpoint.metrics.reloaded("tls", read.is_ok());
        match read {
            Ok(()) => info!("the certificate was read again"),
            Err(error) => error!(%error, "the certificate was not read again: the one from before stays"),
        }
    }
}

impl std::fmt::Debug for Reload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reload").field("tls", &self.tls).finish_non_exhaustive()
    }
}
