//! Traces to a collector, by OTLP over HTTP.

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider};
use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::trace_parent::TraceParent;

/// Sends what is traced until it is dropped; then it sends the rest.
#[derive(Debug)]
pub(crate) struct Exporter(SdkTracerProvider);

impl Exporter {
    /// `endpoint`: where spans are posted, as in `http://127.0.0.1:4318/v1/traces`.
    pub(crate) fn new(endpoint: &str) -> Result<Self, ExporterBuildError> {
        let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint).build()?;
        let resource = Resource::builder().with_service_name(env!("CARGO_PKG_NAME")).build();
        Ok(Self(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build()))
    }

    pub(crate) fn tracer(&self) -> SdkTracer {
        self.0.tracer_with_scope(InstrumentationScope::builder(env!("CARGO_PKG_NAME")).build())
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "the last traces could not be sent");
        }
    }
}

/// Puts a request's span below its client's.
pub(crate) fn adopt(span: &Span, parent: TraceParent) {
    let flags = if parent.sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
    let (trace, span_id) = (TraceId::from(parent.trace_id), SpanId::from(parent.span_id));
    let context = SpanContext::new(trace, span_id, flags, true, TraceState::NONE);
    // An error means that this span is not traced: it needs no parent.
    let _ = span.set_parent(Context::new().with_remote_span_context(context));
}
