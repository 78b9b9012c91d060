//! What `/metrics` tells, in the text format of Prometheus.

use std::sync::atomic::Ordering;
use std::time::Duration;

use callsweep_core::run::Counts;
use callsweep_core::store::PoolUse;
use chrono::{DateTime, Utc};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// The counters and gauges of one server. Cloning shares them.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    durations: Family<RouteLabels, Histogram, fn() -> Histogram>,
    /// Requests that are being answered.
    pub in_flight: Gauge,
    deleted: Counter,
    archived: Counter,
    refused: Family<ReasonLabels, Counter>,
    limited: Family<LimitLabels, Counter>,
    /// Answers that were given again, and nothing done.
    pub replayed: Counter,
    reloads: Family<ReloadLabels, Counter>,
    pool: Family<PoolLabels, Gauge>,
    pool_size: Gauge,
    waiting: Gauge,
    waiting_for_share: Gauge,
    certificate_until: Gauge,
    log_lines_dropped: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    /// 499, as in nginx: the client closed the connection before the answer.
    status: u16,
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    limit: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReloadLabels {
    what: &'static str,
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PoolLabels {
    state: &'static str,
}

/// Seconds. One number takes a few milliseconds; a whole campaign may take minutes.
const BUCKETS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0];

impl Metrics {
    /// All at zero, and the registry that exports them.
    #[must_use]
    pub fn new() -> (Self, Registry) {
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            in_flight: Gauge::default(),
            deleted: Counter::default(),
            archived: Counter::default(),
            refused: Family::default(),
            limited: Family::default(),
            replayed: Counter::default(),
            reloads: Family::default(),
            pool: Family::default(),
            pool_size: Gauge::default(),
            waiting: Gauge::default(),
            waiting_for_share: Gauge::default(),
            certificate_until: Gauge::default(),
            log_lines_dropped: Counter::default(),
        };
        let mut registry = Registry::with_prefix("callsweep");
        let m = metrics.clone();
        registry.register("http_requests", "Requests answered, by route, HTTP status and result code", m.requests);
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's head to its answer",
            Unit::Seconds,
            m.durations,
        );
        registry.register("http_requests_in_flight", "Requests that are being answered", m.in_flight);
        registry.register("numbers_deleted", "Numbers that left call_data", m.deleted);
        registry.register("numbers_archived", "Numbers of those deleted that went to call_data_history", m.archived);
        registry.register("auth_failures", "Requests answered with 401, by reason", m.refused);
        registry.register("rate_limited", "Requests answered with 429, by the limit they were over", m.limited);
        registry.register("answers_replayed", "Answers given again to a request that was repeated", m.replayed);
        registry.register("reloads", "Keys and certificates read again, by result", m.reloads);
        registry.register("pool_connections", "Open database connections, by state", m.pool);
        registry.register("pool_size", "Database connections that may be open", m.pool_size);
        registry.register("pool_waiting", "Requests that wait for a database connection", m.waiting);
        registry.register(
            "key_connections_waiting",
            "Requests that wait because their key uses its share of the database connections",
            m.waiting_for_share,
        );
        registry.register(
            "tls_certificate_expiry_timestamp_seconds",
            "When the server's certificate ends, in Unix time; 0 without TLS",
            m.certificate_until,
        );
        registry.register("log_lines_dropped", "Log lines dropped because stderr was not read", m.log_lines_dropped);
        (metrics, registry)
    }

    /// Counts an answer. `answered`: status and result code; `None`: the client closed the connection before.
    pub fn request(&self, route: &'static str, answered: Option<(u16, &'static str)>, took: Duration) {
        let (status, code) = answered.unwrap_or((CLIENT_CLOSED_REQUEST, "none"));
        self.requests.get_or_create(&RequestLabels { route, status, code }).inc();
        self.durations.get_or_create(&RouteLabels { route }).observe(took.as_secs_f64());
    }

    /// Counts what a run removed.
    pub fn removed(&self, counts: &Counts) {
        // No count is negative.
        self.deleted.inc_by(counts.deleted.unsigned_abs());
        self.archived.inc_by(counts.archived.unsigned_abs());
    }

    /// Counts a 401.
    pub fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// Counts a 429.
    pub fn limited(&self, limit: &'static str) {
        self.limited.get_or_create(&LimitLabels { limit }).inc();
    }

    /// Notes when the server's certificate ends.
    pub fn certificate_until(&self, end: Option<DateTime<Utc>>) {
        self.certificate_until.set(end.map_or(0, |end| end.timestamp()));
    }

    /// Counts a reload.
    pub fn reloaded(&self, what: &'static str, done: bool) {
        let result = if done { "done" } else { "failed" };
        self.reloads.get_or_create(&ReloadLabels { what, result }).inc();
    }

    /// Sets the gauges of the pool, before they are exported.
    pub fn pool(&self, pool: PoolUse, waiting: i64, waiting_for_share: i64) {
        self.pool.get_or_create(&PoolLabels { state: "in_use" }).set(pool.in_use.into());
        self.pool.get_or_create(&PoolLabels { state: "idle" }).set(pool.idle.into());
        self.pool_size.set(pool.size.into());
        self.waiting.set(waiting);
        self.waiting_for_share.set(waiting_for_share);
    }

    /// Sets the count of log lines that were dropped, which the log's writer keeps.
    pub fn log_lines_dropped(&self, lines: u64) {
        self.log_lines_dropped.inner().store(lines, Ordering::Relaxed);
    }
}

/// The status that nginx gives to a request whose client closed the connection before the answer.
const CLIENT_CLOSED_REQUEST: u16 = 499;
