//! The server: two listeners, and graceful shutdown.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use actix_web::dev::Server;
use actix_web::http::header::{STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS};
use actix_web::middleware::DefaultHeaders;
use actix_web::{App, HttpServer, web};
use arc_swap::ArcSwap;
use callsweep_core::engine::Engine;
use callsweep_core::pace::Pace;
use callsweep_core::settings::{ApiSettings, Settings, SettingsError};
use callsweep_core::store::{AnyConnection, Store, StoreError, columns, migrations, storage, text};
use prometheus_client::registry::Registry;
use tracing::{error, info, warn};

use super::credentials::Credentials;
use super::ops::{self, Health};
use super::reload::Reload;
use super::tls::{Tls, TlsError};
use crate::auth::Keys;
use crate::call::{Endpoint, handler};
use crate::execution::Executor;
use crate::limits::connections::Connections;
use crate::limits::{InFlightCount, RateLimits};
use crate::openapi::page;
use crate::telemetry::Metrics;

/// Why the server does not start. Each text says what to do.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the texts say it")]
pub enum StartError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot listen on {address}: {reason}; choose another address with {setting} (demo: {flag})")]
    Listen { address: SocketAddr, reason: io::Error, setting: &'static str, flag: &'static str },
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Refuses tables that this binary cannot work with.
fn check_tables(conn: &mut AnyConnection) -> Result<(), StartError> {
    migrations::check_current(conn)?;
    storage::check(conn)?;
    for problem in text::problems(conn)? {
        warn!("{problem}");
    }
    match columns::forbidding_archive(conn)? {
        None => Ok(()),
        Some(difference) => Err(StoreError::from(difference).into()),
    }
}

/// A server that has bound its addresses and is ready to run.
pub struct Application {
    api: Server,
    ops: Server,
    address: SocketAddr,
    ops_address: SocketAddr,
    health: web::Data<Health>,
    reload: Reload,
    connections: Arc<Connections>,
}

/// What the listeners of the endpoint share.
fn endpoint(settings: &Settings, keys: Keys, store: Store, metrics: Metrics) -> Result<Endpoint, StartError> {
    let api = &settings.api;
    let store = store.with_patience(api.queue_timeout);
    let engine = Engine { store, rules: settings.rules.ongoing_task, pace: Pace::fixed(api.chunk_size) };
    Ok(Endpoint {
        executor: Executor::start(
            engine,
            metrics.clone(),
            api.queue_timeout,
            NonZeroUsize::new(api.limits.key_connections),
        )?,
        keys: ArcSwap::from_pointee(keys),
        rate_limits: RateLimits::new(&api.limits),
        metrics,
        max_body: api.max_body,
        max_headers: api.max_headers,
        max_uri: api.max_uri,
        trusted_proxies: api.trusted_proxies.clone(),
        body_timeout: api.body_timeout,
    })
}

/// Connections for each worker, which is how actix-web counts them.
fn connections_of_worker(connections: usize, workers: usize) -> usize {
    if connections == 0 { NO_LIMIT } else { connections.div_ceil(workers) }
}

/// More connections than a machine has file descriptors.
const NO_LIMIT: usize = u32::MAX as usize;

fn serve_api(
    settings: &ApiSettings,
    endpoint: web::Data<Endpoint>,
    tls: Option<&Tls>,
    connections: Arc<Connections>,
) -> Result<(Server, SocketAddr), StartError> {
    let workers = thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let seats = endpoint.executor.seat_count().get();
    let docs = settings.docs;
    let has_tls = tls.is_some();
    let server = HttpServer::new(move || {
        let headers = DefaultHeaders::new().add((X_CONTENT_TYPE_OPTIONS, "nosniff"));
        // A browser must not hear it over plain HTTP (RFC 6797, section 7.2).
        let headers = if has_tls { headers.add((STRICT_TRANSPORT_SECURITY, ONE_YEAR)) } else { headers };
        let app = App::new().wrap(headers).app_data(endpoint.clone()).default_service(web::to(handler::handle));
        if docs { app.configure(page::routes) } else { app }
    })
    .on_connect(move |io, data| connections.add(io, data))
    .workers(workers)
    // Each worker may have to serve all seats.
    .worker_max_blocking_threads(seats)
    .max_connections(connections_of_worker(settings.limits.connections, workers))
    .client_request_timeout(settings.header_timeout)
    .tls_handshake_timeout(settings.header_timeout)
    .keep_alive(settings.keep_alive)
    .disable_signals()
    .shutdown_timeout(settings.shutdown_timeout_seconds);
    let address = settings.listen;
    let bound = match tls {
        Some(tls) => server.bind_rustls_0_23(address, tls.server_config()?),
        None => server.bind(address),
    };
    let server =
        bound.map_err(|reason| StartError::Listen { address, reason, setting: "api.listen", flag: "--listen" })?;
    if tls.is_none() && !address.ip().is_loopback() {
        warn!(%address, "plain HTTP on an address that others reach: set [api.tls], or end TLS before it");
    }
    // Binding to one address opens one listener.
    let address = server.addrs()[0];
    Ok((server.run(), address))
}

/// How long a browser keeps to HTTPS after it has been here.
const ONE_YEAR: &str = "max-age=31536000";

fn serve_ops(
    settings: &ApiSettings,
    health: web::Data<Health>,
    endpoint: web::Data<Endpoint>,
    registry: Registry,
) -> Result<(Server, SocketAddr), StartError> {
    let registry = web::Data::new(registry);
    let address = settings.ops_listen;
    let server = HttpServer::new(move || {
        let app = App::new().app_data(health.clone()).app_data(endpoint.clone()).app_data(registry.clone());
        app.configure(ops::routes)
    })
    .workers(1)
    // Checks that hang do not pile up.
    .worker_max_blocking_threads(2)
    .disable_signals()
    .bind(address)
    .map_err(|reason| StartError::Listen { address, reason, setting: "api.ops_listen", flag: "--ops-listen" })?;
    let address = server.addrs()[0];
    Ok((server.run(), address))
}

/// How often changed certificates are looked for, full buckets dropped and slow connections closed.
const HOUSEKEEPING_EVERY: Duration = Duration::from_secs(2);

impl Application {
    /// Binds the addresses and checks that requests can be served. Must be called inside the runtime that will run it.
    /// A port of 0 is replaced by a free one.
    ///
    /// # Errors
    /// No key is configured, the database cannot be reached, its schema is behind, or an address is taken.
    pub fn build(settings: &Settings, credentials: Credentials, store: Store) -> Result<Self, StartError> {
        let Credentials { keys, tls } = credentials;
        check_tables(&mut *store.connection()?)?;
        let health = web::Data::new(Health::new(&settings.database, store.clock().clone())?);
        let (metrics, registry) = Metrics::new();
        metrics.certificate_until(tls.as_deref().and_then(Tls::expires));
        let endpoint = web::Data::new(endpoint(settings, keys, store, metrics)?);
        let connections = Arc::new(Connections::new(settings.api.keep_alive + settings.api.header_timeout));
        let (api, address) = serve_api(&settings.api, endpoint.clone(), tls.as_deref(), connections.clone())?;
        let (ops, ops_address) = serve_ops(&settings.api, health.clone(), endpoint.clone(), registry)?;
        Ok(Self { api, ops, address, ops_address, health, reload: Reload { endpoint, tls }, connections })
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

    /// Requests whose execution has not ended, those included whose client got no answer.
    #[must_use]
    pub fn in_flight(&self) -> InFlightCount {
        self.reload.endpoint.rate_limits.in_flight()
    }

    /// Reloads the server while it runs.
    #[must_use]
    pub fn reload(&self) -> Reload {
        self.reload.clone()
    }

    /// Serves until `stop` resolves. Then `/readyz` fails, no new connection is accepted, and requests in flight get
    /// `api.shutdown_timeout_seconds` to finish.
    ///
    /// # Errors
    /// A listener broke.
    pub async fn run_until_stopped(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let Self { mut api, ops, address, ops_address, health, reload, connections } = self;
        let housekeeping = actix_web::rt::spawn(async move {
            loop {
                tokio::time::sleep(HOUSEKEEPING_EVERY).await;
                reload.changed_tls();
                reload.endpoint.rate_limits.forget_full();
                connections.cut_slow();
            }
        });
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
        housekeeping.abort();
        // Last, so that /readyz answers to the end.
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
