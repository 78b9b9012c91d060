//! The server: two listeners, and an orderly end.

use std::io;
use std::net::SocketAddr;

use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};
use callsweep_core::error::Error;
use callsweep_core::purge::{Engine, Pace};
use callsweep_core::settings::{ApiSettings, Settings, SettingsError};
use callsweep_core::store::{Store, StoreError, migrations};
use chrono::TimeDelta;
use tracing::{error, info};

use crate::auth::{Keys, KeysError};
use crate::delete::{self, Endpoint};
use crate::ops::{self, Health};

/// Why the server does not start. Each text says what to do.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say it")]
pub enum StartError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Keys(#[from] KeysError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Core(#[from] Error),
    #[error("cannot listen on {address}: {reason}; choose another address with {setting} (demo: {flag})")]
    Listen { address: SocketAddr, reason: io::Error, setting: &'static str, flag: &'static str },
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A server that has its addresses and is ready to run.
pub struct Application {
    api: Server,
    ops: Server,
    address: SocketAddr,
    ops_address: SocketAddr,
    health: web::Data<Health>,
}

impl Application {
    /// Takes the addresses and makes sure that the work can be done. To be called inside the runtime that will run
    /// it. A port of 0 is replaced by a free one.
    ///
    /// # Errors
    /// No key is configured, the database cannot be reached, its schema is behind, or an address is taken.
    pub fn build(settings: &Settings, store: Store) -> Result<Self, StartError> {
        let ApiSettings {
            listen,
            ops_listen,
            max_body,
            signature_window_minutes,
            shutdown_timeout_seconds,
            ref keys,
            chunk_size,
        } = settings.api;
        let keys = Keys::new(keys, TimeDelta::minutes(signature_window_minutes.into()))?;
        migrations::check_current(&mut *store.connection()?)?;

        let health = web::Data::new(Health::new(store.clone()));
        let engine = Engine { store, rules: settings.rules.ongoing_task, pace: Pace::fixed(chunk_size) };
        let endpoint = web::Data::new(Endpoint { engine, keys, max_body });
        let api =
            HttpServer::new(move || App::new().app_data(endpoint.clone()).default_service(web::to(delete::handle)))
                .disable_signals()
                .shutdown_timeout(shutdown_timeout_seconds)
                .bind(listen)
                .map_err(|reason| StartError::Listen {
                    address: listen,
                    reason,
                    setting: "api.listen",
                    flag: "--listen",
                })?;
        let data = health.clone();
        let ops = HttpServer::new(move || App::new().app_data(data.clone()).configure(ops::routes))
            .workers(1)
            .disable_signals()
            .bind(ops_listen)
            .map_err(|reason| StartError::Listen {
                address: ops_listen,
                reason,
                setting: "api.ops_listen",
                flag: "--ops-listen",
            })?;
        // Binding to one address opens one listener.
        let (address, ops_address) = (api.addrs()[0], ops.addrs()[0]);
        Ok(Self { api: api.run(), ops: ops.run(), address, ops_address, health })
    }

    /// Where the endpoint listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the health checks listen.
    #[must_use]
    pub fn ops_address(&self) -> SocketAddr {
        self.ops_address
    }

    /// Serves until `stop` is there. Then readiness is taken back, no new connection is accepted, and requests in
    /// flight get `api.shutdown_timeout_seconds` to finish.
    ///
    /// # Errors
    /// A listener broke.
    pub async fn run_until_stopped(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let Self { mut api, ops, address, ops_address, health } = self;
        info!(%address, %ops_address, "listening");
        let (api_handle, ops_handle) = (api.handle(), ops.handle());
        let ops = actix_web::rt::spawn(async move {
            if let Err(error) = ops.await {
                error!(%error, "the health checks ended");
            }
        });
        let draining = async {
            stop.await;
            info!("stopping: requests in flight are finished");
            health.start_draining();
            api_handle.stop(true).await;
        };
        let served = tokio::select! {
            served = &mut api => served,
            () = draining => api.await,
        };
        // Last, so that readiness is told to the end.
        ops_handle.stop(false).await;
        if let Err(error) = ops.await {
            error!(%error, "the health checks failed");
        }
        info!("stopped");
        served
    }
}

impl std::fmt::Debug for Application {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Application").field("address", &self.address).finish_non_exhaustive()
    }
}
