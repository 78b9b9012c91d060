//! What the handler of the call works with.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;

use crate::auth::Keys;
use crate::execution::Executor;
use crate::limits::RateLimits;
use crate::telemetry::Metrics;

/// The state of the endpoint, shared by all workers.
#[derive(Debug)]
pub struct Endpoint {
    /// Runs the engine.
    pub executor: Arc<Executor>,
    /// Who may call. Replaced at reload.
    pub keys: ArcSwap<Keys>,
    /// How often.
    pub rate_limits: RateLimits,
    /// Counts what happens.
    pub metrics: Metrics,
    /// Bytes that a body may have.
    pub max_body: usize,
    /// Bytes that the headers may have.
    pub max_headers: usize,
    /// The proxies whose X-Forwarded-For counts.
    pub trusted_proxies: Vec<IpNet>,
    /// Bytes that path and query may have.
    pub max_uri: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
}
