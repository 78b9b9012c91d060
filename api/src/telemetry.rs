//! Logs: one line for each request, and what an operator needs to find out why.
//!
//! No line shows a phone number, a secret, a signature, a raw path or the value of a parameter.

use std::fmt;
use std::io::IsTerminal;
use std::time::Instant;

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderMap, HeaderValue};
use callsweep_core::campaign::{CampaignId, VdnId};
use callsweep_core::error::Error;
use callsweep_core::purge::{Outcome, PurgeReport};
use tracing::{Span, error, info, info_span, warn};
use tracing_subscriber::EnvFilter;

use crate::answer::{Answer, REQUEST_ID};
use crate::auth::Refusal;

/// Sends logs to stderr: text on a terminal, JSON lines elsewhere. `RUST_LOG` chooses what is logged; `info` unless
/// it is set.
pub fn init() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error means that a log is set up already, as in tests that start several servers.
    let _ = if std::io::stderr().is_terminal() {
        builder.try_init()
    } else {
        builder.json().flatten_event(true).with_span_list(false).try_init()
    };
}

/// What one request's line will say. The line is written when this goes, so that a request whose client went away
/// has one too.
#[derive(Debug)]
pub struct AccessLog {
    request_id: HeaderValue,
    method: String,
    begun: Instant,
    /// The route's pattern. `None`: no such route.
    pub route: Option<&'static str>,
    /// The client, once it has proved who it is.
    pub access_key: Option<String>,
    /// The VDN of the path.
    pub vdn: Option<VdnId>,
    /// The campaign of the path.
    pub campaign: Option<CampaignId>,
    /// Run id, matched, deleted, archived, barred.
    counts: Option<[i64; 5]>,
    /// HTTP status and result code. `None`: the client was gone before the answer.
    answered: Option<(u16, &'static str)>,
}

impl AccessLog {
    /// Starts the clock of a request and settles its id.
    #[must_use]
    pub fn begin(request: &HttpRequest) -> Self {
        Self {
            request_id: request_id(request.headers()),
            method: request.method().as_str().to_owned(),
            begun: Instant::now(),
            route: None,
            access_key: None,
            vdn: None,
            campaign: None,
            counts: None,
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

    /// Puts the request's id on what is logged while it works.
    #[must_use]
    pub fn span(&self) -> Span {
        info_span!("request", request_id = self.id())
    }

    /// Why a 401 was answered, which the client is not told.
    pub fn unauthorized(&self, refusal: &Refusal) {
        warn!(request_id = self.id(), reason = %refusal, "not authenticated");
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

    /// What the client is told.
    pub fn answered(&mut self, answer: &Answer) {
        self.answered = Some((answer.status.as_u16(), answer.code.as_str()));
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        let [run_id, matched, deleted, archived, barred] = self.counts.map_or([None; 5], |counts| counts.map(Some));
        info!(
            request_id = self.id(),
            method = self.method,
            route = self.route.unwrap_or("none"),
            status = self.answered.map(|(status, _)| status),
            code = self.answered.map(|(_, code)| code),
            duration_us = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX),
            access_key = self.access_key,
            vdn = self.vdn.map(VdnId::get),
            campaign = self.campaign.map(CampaignId::get),
            run_id,
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
