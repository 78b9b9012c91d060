//! Health checks and metrics, on their own address (`api.ops_listen`).

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use actix_web::http::header::CONTENT_TYPE;
use actix_web::{HttpResponse, web};
use callsweep_core::clock::Clock;
use callsweep_core::settings::DatabaseSettings;
use callsweep_core::store::{Store, StoreError, migrations};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use tokio::time::timeout;
use tracing::warn;

use crate::call::Endpoint;

/// What the health checks look at.
#[derive(Debug)]
pub(super) struct Health {
    /// With one connection of its own: requests may use up theirs.
    store: Store,
    draining: AtomicBool,
}

/// How long a check of readiness takes at most. What probes it waits a few seconds.
const READY_WITHIN: Duration = Duration::from_secs(1);

impl Health {
    /// Watches the database of the settings.
    ///
    /// # Errors
    /// It cannot be reached.
    pub(super) fn new(database: &DatabaseSettings, clock: Clock) -> Result<Self, StoreError> {
        let one = DatabaseSettings { pool_size: NonZeroU32::MIN, ..database.clone() };
        let store = Store::open(&one, clock)?.with_patience(READY_WITHIN);
        Ok(Self { store, draining: AtomicBool::new(false) })
    }

    /// From now on `/readyz` sends new requests elsewhere.
    pub(super) fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}

/// The routes.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/healthz", web::get().to(healthz))
        .route("/readyz", web::get().to(readyz))
        .route("/metrics", web::get().to(metrics));
}

/// The format that [`text`] writes; Prometheus takes it without being told.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All counters and gauges. It does not use the database, so it answers however busy that is.
async fn metrics(endpoint: web::Data<Endpoint>, registry: web::Data<Registry>) -> HttpResponse {
    let executor = &endpoint.executor;
    endpoint.metrics.pool(executor.engine().store.pool_use(), executor.waiting(), executor.waiting_for_share());
    endpoint.metrics.log_lines_dropped(crate::telemetry::dropped_log_lines());
    let mut body = String::new();
    match text::encode(&mut body, &registry) {
        Ok(()) => HttpResponse::Ok().insert_header((CONTENT_TYPE, OPENMETRICS)).body(body),
        Err(error) => {
            warn!(%error, "the metrics could not be written");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// The process runs and answers.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().body("ok\n")
}

/// The server can do its work: the database is reachable, its schema is current, and it is not shutting down.
async fn readyz(health: web::Data<Health>) -> HttpResponse {
    if health.draining.load(Ordering::Relaxed) {
        return HttpResponse::ServiceUnavailable().body("draining\n");
    }
    let looked = web::block(move || migrations::check_current(&mut *health.store.connection()?));
    let problem = match timeout(READY_WITHIN * 2, looked).await {
        Ok(Ok(Ok(()))) => return HttpResponse::Ok().body("ready\n"),
        Ok(Ok(Err(error))) => {
            warn!(%error, "not ready");
            match error {
                StoreError::Busy { .. } => "the database does not answer: an earlier check is still waiting\n",
                StoreError::SchemaBehind(_) => "the database schema is behind: run `callsweep-worker migrate`\n",
                StoreError::SchemaNewer { .. } => "the database schema is newer than this version\n",
                _ => "the database is not reachable\n",
            }
        }
        Ok(Err(error)) => {
            warn!(%error, "not ready");
            "the check failed\n"
        }
        Err(error) => {
            warn!(%error, "not ready");
            "the database does not answer\n"
        }
    };
    HttpResponse::ServiceUnavailable().body(problem)
}
