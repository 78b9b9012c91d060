//! Logs: one line for each request, and what an operator needs to find out why.
//!
//! No line shows a phone number, a secret, a signature, a raw path or the value of a parameter.

use std::fmt;
use std::io::IsTerminal;
use std::time::Instant;

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, HeaderValue};
use callsweep_core::campaign::{CampaignId, VdnId};
use callsweep_core::engine::Error;
use callsweep_core::engine::{Outcome, PurgeReport};
use callsweep_core::run::Run;
use callsweep_core::settings::{ApiSettings, LogFormat};
use tracing::{Span, debug, error, info, info_span};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::answer::{Answer, REQUEST_ID};
use crate::auth::Refusal;
use crate::limits::OverLimit;
use crate::metrics::Metrics;
use crate::trace::TraceParent;

/// Sends what is logged and traced, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Telemetry {
    #[cfg(feature = "otlp")]
    _exporter: Option<crate::otlp::Exporter>,
}

/// Why traces cannot be sent as the settings say.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Built without it.
    #[error("api.otlp_endpoint: this binary was built without OTLP; build it with --features otlp")]
    #[cfg(not(feature = "otlp"))]
    NotBuilt,
    /// The exporter's own words.
    #[error("api.otlp_endpoint: {0}")]
    #[cfg(feature = "otlp")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Sends logs to stderr, as `api.log_format` says, and traces to `api.otlp_endpoint`. `RUST_LOG` chooses what is
/// logged; `info` unless it is set.
///
/// # Errors
/// Traces cannot be sent there.
pub fn init(settings: &ApiSettings) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn"));
    let is_terminal = std::io::stderr().is_terminal();
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(is_terminal);
    let lines = match settings.log_format {
        LogFormat::Auto if is_terminal => lines.boxed(),
        LogFormat::Text => lines.boxed(),
        LogFormat::Auto | LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let registry = tracing_subscriber::registry().with(filter).with(lines);
    #[cfg(feature = "otlp")]
    let (registry, telemetry) = {
        let exporter = settings.otlp_endpoint.as_deref().map(crate::otlp::Exporter::new).transpose()?;
        let traces = exporter.as_ref().map(|exporter| tracing_opentelemetry::layer().with_tracer(exporter.tracer()));
        (registry.with(traces), Telemetry { _exporter: exporter })
    };
    #[cfg(not(feature = "otlp"))]
    let telemetry = match settings.otlp_endpoint {
        None => Telemetry {},
        Some(_) => return Err(TelemetryError::NotBuilt),
    };
    // An error means that a log is set up already, as in tests that start several servers.
    let _ = registry.try_init();
    Ok(telemetry)
}

/// What one request's line will say, and its metrics. The line is written when this goes, so that a request whose
/// client went away has one too.
#[derive(Debug)]
pub struct AccessLog {
    metrics: Metrics,
    request_id: HeaderValue,
    trace: Option<TraceParent>,
    method: String,
    begun: Instant,
    /// The route's pattern. `None`: no such route.
    pub route: Option<&'static str>,
    /// The client, once it has proved who it is.
    pub access_key: Option<String>,
    /// Whether it still signs by its second secret.
    pub by_previous_secret: bool,
    /// The VDN of the path.
    pub vdn: Option<VdnId>,
    /// The campaign of the path.
    pub campaign: Option<CampaignId>,
    /// Run id, matched, deleted, archived, barred.
    counts: Option<[i64; 5]>,
    /// The run whose answer is given again.
    replay_of: Option<i64>,
    /// Why a 401 was answered, which the client is not told.
    refusal: Option<String>,
    /// HTTP status and result code. `None`: the client was gone before the answer.
    answered: Option<(u16, &'static str)>,
}

impl AccessLog {
    /// Starts the clock of a request and settles its id.
    #[must_use]
    pub fn begin(request: &HttpRequest, metrics: &Metrics) -> Self {
        metrics.in_flight.inc();
        Self {
            metrics: metrics.clone(),
            request_id: request_id(request.headers()),
            trace: TraceParent::of(request.headers()),
            method: request.method().as_str().to_owned(),
            begun: Instant::now(),
            route: None,
            access_key: None,
            by_previous_secret: false,
            vdn: None,
            campaign: None,
            counts: None,
            replay_of: None,
            refusal: None,
            answered: None,
        }
    }

    /// The id of the request, for the answer's header.
    #[must_use]
    pub fn request_id(&self) -> HeaderValue {
        self.request_id.clone()
    }

    /// The same, as text.
    #[must_use]
    pub fn id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    /// Puts the request's id, and its trace's, on what is logged while it works.
    #[must_use]
    pub fn span(&self) -> Span {
        let span = info_span!("request", request_id = self.id(), trace_id = self.trace_id());
        #[cfg(feature = "otlp")]
        if let Some(trace) = self.trace {
            crate::otlp::adopt(&span, trace);
        }
        span
    }

    fn trace_id(&self) -> Option<String> {
        self.trace.as_ref().map(TraceParent::trace_id)
    }

    /// Why a 401 was answered, which the client is not told.
    pub fn unauthorized(&mut self, refusal: &Refusal) {
        self.metrics.refused(refusal.label());
        self.refusal = Some(refusal.to_string());
    }

    /// Why a 429 was answered.
    pub fn over_limit(&self, over: OverLimit) {
        self.metrics.limited(over.limit);
        debug!(request_id = self.id(), limit = over.limit, "over a limit");
    }

    /// Why the engine failed, which the client is not told.
    pub fn failed(&self, error: &dyn fmt::Display) {
        error!(request_id = self.id(), %error, "the request failed");
    }

    /// What the engine did.
    pub fn report(&mut self, report: &PurgeReport) {
        if let Outcome::Failed(error @ Error::Store(_)) = &report.outcome {
            self.failed(error);
        }
        let counts = report.counts;
        self.counts = Some([report.run_id, counts.matched, counts.deleted, counts.archived, counts.barred.total()]);
    }

    /// That nothing was done, because this run had done it before.
    pub fn replayed(&mut self, run: &Run) {
        self.replay_of = Some(run.id);
    }

    /// What the client is told.
    pub fn answered(&mut self, answer: &Answer) {
        self.answered = Some((answer.status.as_u16(), answer.code.as_str()));
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let took = self.begun.elapsed();
        let route = self.route.unwrap_or("none");
        self.metrics.in_flight.dec();
        self.metrics.request(route, self.answered, took);
        let [run_id, matched, deleted, archived, barred] = self.counts.map_or([None; 5], |counts| counts.map(Some));
        info!(
            request_id = self.id(),
            trace_id = self.trace_id(),
            method = self.method,
            route,
            status = self.answered.map(|(status, _)| status),
            code = self.answered.map(|(_, code)| code),
            duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            access_key = self.access_key,
            previous_secret = self.by_previous_secret.then_some(true),
            vdn = self.vdn.map(VdnId::get),
            campaign = self.campaign.map(CampaignId::get),
            run_id,
            replay_of = self.replay_of,
            reason = self.refusal,
            matched,
            deleted,
            archived,
            barred,
            "{}",
            if self.answered.is_some() { "request" } else { "the client went away" }
        );
    }
}

/// The longest id that is taken from a client.
const MAX_REQUEST_ID: usize = 64;

/// The client's own id where it is sane, so that one id goes through all logs; otherwise a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let mut given = headers.get_all(REQUEST_ID);
    let is_sane = |id: &&HeaderValue| {
        let id = id.as_bytes();
        (1..=MAX_REQUEST_ID).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
    };
    if let (Some(id), None) = (given.next().filter(is_sane), given.next()) {
        return id.clone();
    }
    let made = format!("{:032x}", rand::random::<u128>());
    HeaderValue::from_str(&made).unwrap_or(HeaderValue::from_static("none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sane_request_id_is_kept_and_any_other_is_replaced() {
        let id_of = |given: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in given {
                headers.append(REQUEST_ID, HeaderValue::from_bytes(value).unwrap());
            }
            request_id(&headers).to_str().unwrap().to_owned()
        };
        let longest = [b'~'; 64];
        assert_eq!(id_of(&[b"a-1"]), "a-1");
        assert_eq!(id_of(&[&longest]).len(), 64);
        let replaced: &[&[&[u8]]] =
            &[&[], &[b""], &[b"a b"], &["é".as_bytes()], &[&[b'a'; 65]], &[b"a", b"a"], &[b"", b"a"]];
        for given in replaced {
            let made = id_of(given);
            assert_eq!(made.len(), 32, "{given:?}: {made}");
            assert!(made.bytes().all(|b| b.is_ascii_hexdigit()));
        }
    }
}
