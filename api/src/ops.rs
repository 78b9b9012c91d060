//! Health checks, on an address of their own (`api.ops_listen`).

use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::{HttpResponse, web};
use callsweep_core::store::{Store, StoreError, migrations};
use tracing::warn;

/// What the health checks look at.
#[derive(Debug)]
pub struct Health {
    store: Store,
    draining: AtomicBool,
}

impl Health {
    /// Watches the database of this store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, draining: AtomicBool::new(false) }
    }

    /// From now on new requests should go elsewhere.
    pub fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }
}

/// The two routes.
pub fn routes(config: &mut web::ServiceConfig) {
    config.route("/healthz", web::get().to(healthz)).route("/readyz", web::get().to(readyz));
}

/// The process runs and answers.
async fn healthz() -> HttpResponse {
    HttpResponse::Ok().body("ok\n")
}

/// The server can do its work: the database is reachable, its schema current, and nobody has asked it to stop.
async fn readyz(health: web::Data<Health>) -> HttpResponse {
    if health.draining.load(Ordering::Relaxed) {
        return HttpResponse::ServiceUnavailable().body("draining\n");
    }
    let looked = web::block(move || migrations::check_current(&mut *health.store.connection()?)).await;
    let problem = match looked {
        Ok(Ok(())) => return HttpResponse::Ok().body("ready\n"),
        Ok(Err(error)) => {
            warn!(%error, "not ready");
            match error {
                StoreError::Busy { .. } => "all database connections are busy\n",
                StoreError::SchemaBehind(_) => "the database schema is behind: run `callsweep-worker migrate`\n",
                StoreError::SchemaNewer(_) => "the database schema is newer than this version\n",
                _ => "the database is not reachable\n",
            }
        }
        Err(error) => {
            warn!(%error, "not ready");
            "the check failed\n"
        }
    };
    HttpResponse::ServiceUnavailable().body(problem)
}
