//! Logs, metrics and traces.
//!
//! No log line shows a phone number, a secret, a signature, a raw path or the value of a parameter.

mod access_log;
mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
mod trace_parent;
mod untrusted;

use std::io::IsTerminal;
use std::sync::OnceLock;

use callsweep_core::settings::{ApiSettings, LogFormat};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

pub use access_log::{AccessLog, REQUEST_ID};
pub use metrics::Metrics;

/// Exports logs and traces until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Telemetry {
    /// Writes the lines that are still buffered when it is dropped.
    _log_writer: WorkerGuard,
    #[cfg(feature = "otlp")]
    _exporter: Option<otlp::Exporter>,
}

/// Why traces cannot be sent as the settings say.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// Built without it.
    #[error("api.otlp_endpoint: this binary was built without OTLP; build it with --features otlp")]
    #[cfg(not(feature = "otlp"))]
    NotBuilt,
    /// The exporter's own message.
    #[error("api.otlp_endpoint: {0}")]
    #[cfg(feature = "otlp")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Counts what the log's writer of this process has dropped.
static DROPPED_LINES: OnceLock<ErrorCounter> = OnceLock::new();

/// Log lines that were dropped because stderr was not read fast enough.
pub(crate) fn dropped_log_lines() -> u64 {
    let dropped = DROPPED_LINES.get().map_or(0, ErrorCounter::dropped_lines);
    u64::try_from(dropped).unwrap_or(u64::MAX)
}

/// Sends logs to stderr, as `api.log_format` says, and traces to `api.otlp_endpoint`. `RUST_LOG` chooses what is
/// logged; `info` unless it is set.
///
/// # Errors
/// Traces cannot be sent there.
pub fn init(settings: &ApiSettings) -> Result<Telemetry, TelemetryError> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn"));
    let is_terminal = std::io::stderr().is_terminal();
    // A thread of its own writes: nobody need read stderr for requests to go on. Lines that do not fit are dropped.
    let (writer, log_writer) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(settings.log_buffer_lines.get())
        .finish(std::io::stderr());
    let _ = DROPPED_LINES.set(writer.error_counter());
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(is_terminal);
    let lines = match settings.log_format {
        LogFormat::Auto if is_terminal => lines.boxed(),
        LogFormat::Text => lines.boxed(),
        LogFormat::Auto | LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).boxed(),
    };
    let registry = tracing_subscriber::registry().with(filter).with(lines);
    #[cfg(feature = "otlp")]
    let (registry, telemetry) = {
        let exporter = settings.otlp_endpoint.as_deref().map(otlp::Exporter::new).transpose()?;
        let traces = exporter.as_ref().map(|exporter| tracing_opentelemetry::layer().with_tracer(exporter.tracer()));
        (registry.with(traces), Telemetry { _log_writer: log_writer, _exporter: exporter })
    };
    #[cfg(not(feature = "otlp"))]
    let telemetry = match settings.otlp_endpoint {
        None => Telemetry { _log_writer: log_writer },
        Some(_) => return Err(TelemetryError::NotBuilt),
    };
    // An error means that a log is set up already, as in tests that start several servers.
    let _ = registry.try_init();
    Ok(telemetry)
}
