//! The listeners: the endpoint with TLS, health checks and metrics, reload and graceful shutdown.

pub mod credentials;
mod ops;
pub mod reload;
pub mod server;
pub mod tls;
