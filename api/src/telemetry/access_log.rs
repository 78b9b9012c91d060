//! One log line for each request, and its metrics.

use std::fmt;
use std::net::IpAddr;
use std::time::Instant;

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use callsweep_core::campaign::{CampaignId, VdnId};
use callsweep_core::engine::Error;
use callsweep_core::engine::{Outcome, PurgeReport};
use callsweep_core::run::Run;
use tracing::{Span, debug, error, info, info_span};

use super::metrics::Metrics;
use super::trace_parent::TraceParent;
use super::untrusted::{cut, shown};
use crate::auth::Refusal;
use crate::limits::OverLimit;

/// Carries the id by which the log knows a request, in and out.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the line of a request will say, and its metrics. The line is written when this is dropped, so that a request
/// whose client closed the connection has one too.
#[derive(Debug)]
pub struct AccessLog {
    metrics: Metrics,
    request_id: HeaderValue,
    trace: Option<TraceParent>,
    method: String,
    started: Instant,
    /// The route's pattern. `None`: no such route.
    pub route: Option<&'static str>,
    /// The client, once it is authenticated.
    pub access_key: Option<String>,
    /// Whether it still signs with its second secret.
    pub by_previous_secret: bool,
    /// The VDN of the path.
    pub vdn: Option<VdnId>,
    /// The campaign of the path.
    pub campaign: Option<CampaignId>,
    /// Run id, matched, deleted, archived, barred.
    counts: Option<[i64; 5]>,
    /// The run whose answer is given again.
    replay_of: Option<i64>,
    /// What a 401 was answered to, and why, which the client is not told.
    refusal: Option<Refused>,
    /// HTTP status and result code. `None`: the client closed the connection before the answer.
    answered: Option<(u16, &'static str)>,
}

impl AccessLog {
    /// Starts the clock of a request and chooses its id.
    #[must_use]
    pub fn begin(request: &HttpRequest, metrics: &Metrics) -> Self {
        metrics.in_flight.inc();
        Self {
            metrics: metrics.clone(),
            request_id: request_id(request.headers()),
            trace: TraceParent::of(request.headers()),
            method: shown(request.method().as_str().as_bytes(), MAX_METHOD),
            started: Instant::now(),
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

    /// Adds the ids of the request and of its trace to what is logged while it is executed.
    #[must_use]
    pub fn span(&self) -> Span {
        let span = info_span!("request", request_id = self.id(), trace_id = self.trace_id());
        #[cfg(feature = "otlp")]
        if let Some(trace) = self.trace {
            super::otlp::adopt(&span, trace);
        }
        span
    }

    fn trace_id(&self) -> Option<String> {
        self.trace.as_ref().map(TraceParent::trace_id)
    }

    /// Why a 401 was answered, which the client is not told.
    pub fn unauthorized(&mut self, refusal: &Refusal, request: &HttpRequest, address: Option<IpAddr>) {
        self.metrics.refused(refusal.label());
        self.refusal = Some(Refused {
            reason: cut(&refusal.to_string(), MAX_REASON),
            client_address: address,
            claimed_key: claimed_key(request.headers()),
        });
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

    /// That the answer of this earlier run is given again, and nothing was executed.
    pub fn replayed(&mut self, run: &Run) {
        self.replay_of = Some(run.id);
    }

    /// What the client is told.
    pub fn answered(&mut self, status: u16, code: &'static str) {
        self.answered = Some((status, code));
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let took = self.started.elapsed();
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
            reason = self.refusal.as_ref().map(|refused| refused.reason.as_str()),
            client_address =
                self.refusal.as_ref().and_then(|refused| refused.client_address).map(tracing::field::display),
            claimed_key = self.refusal.as_ref().and_then(|refused| refused.claimed_key.as_deref()),
            matched,
            deleted,
            archived,
            barred,
            "{}",
            if self.answered.is_some() { "request" } else { "the client closed the connection" }
        );
    }
}

/// Who was answered with 401, for whoever looks for attackers or for a client's mistake.
#[derive(Debug)]
struct Refused {
    reason: String,
    client_address: Option<IpAddr>,
    /// The access key that the client names. Nobody has proved to have it.
    claimed_key: Option<String>,
}

/// Characters of a stranger's text that a line shows: enough to recognise it.
const MAX_METHOD: usize = 32;
const MAX_CLAIMED_KEY: usize = 64;
const MAX_REASON: usize = 256;

/// The access key of an Authorization header that has the five parts. No other part is shown: one is the signature.
fn claimed_key(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(AUTHORIZATION)?.as_bytes();
    let mut parts = value.rsplitn(4, |byte| *byte == b'/').skip(3);
    Some(shown(parts.next()?.strip_prefix(b"auth-v2/")?, MAX_CLAIMED_KEY))
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
