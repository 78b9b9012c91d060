//! Authentication by signed requests: "C2", auth-v2 (contract, section 4).

pub mod authorization;
pub mod canonical;
pub mod client_address;
mod keys;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName};
use callsweep_core::settings::ApiSettings;
use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use authorization::{Authorization, Malformed, SignedHeaders};
use canonical::{HeaderProblem, WireRequest, canonical_requests, signature, signing_key};
pub use keys::{Fingerprint, Key, Keys, KeysError};

/// Who sent a request.
#[derive(Debug)]
pub struct Caller<'r> {
    /// Its key.
    pub key: Arc<Key>,
    /// Whether it still signs by the second secret.
    pub by_previous_secret: bool,
    signed_headers: SignedHeaders<'r>,
}

impl Caller<'_> {
    /// Whether the signature covers this header. What it does not cover must have no effect on the call.
    #[must_use]
    pub fn has_signed(&self, header: &HeaderName) -> bool {
        self.signed_headers.names.contains(&header.as_str())
    }
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Origin {
    /// The client's address, as far as proxies are trusted.
    pub address: Option<IpAddr>,
    /// The certificate that the connection was made with.
    pub certificate: Option<Fingerprint>,
}

impl Keys {
    /// Finds out who signed a request that came from `origin`.
    ///
    /// # Errors
    /// Why nobody can be taken for its sender: for the log, never for the client.
    pub fn verify<'r>(
        &self,
        request: WireRequest<'r>,
        origin: Origin,
        now: DateTime<Utc>,
    ) -> Result<Caller<'r>, Refusal> {
        let authorization = Authorization::parse(single_authorization(request.headers)?, self.max_signed_headers)?;
        let candidates = canonical_requests(request, &authorization.signed_headers)?;
        let key = self.find(authorization.access_key);
        let secrets = self.secrets_of(key);
        // All four are always computed, and compared without saying where they differ.
        let [by_current, by_previous] = [&secrets.current, &secrets.previous].map(|secret| {
            let signing_key = signing_key(secret.expose_secret(), authorization.prefix);
            let [first, second] = candidates.each_ref().map(|candidate| {
                signature(&signing_key, candidate).as_bytes().ct_eq(authorization.signature.as_bytes())
            });
            first | second
        });
        let signed = bool::from(by_current | by_previous);
        let key = key.ok_or(Refusal::UnknownKey)?;
        if !signed {
            return Err(Refusal::Signature);
        }
        // The rest comes after the signature, so that the log can tell a wrong clock from a wrong signature, and
        // nobody but the key's owner learns by time what is wrong.
        if !self.is_ours(request.headers.get(HOST)) {
            return Err(Refusal::Host);
        }
        if !key.may_call_from(origin.address) {
            return Err(Refusal::Address);
        }
        if !key.may_call_by(origin.certificate.as_ref()) {
            return Err(Refusal::Certificate);
        }
        if key.expires.is_some_and(|expires| now >= expires) {
            return Err(Refusal::Expired);
        }
        let age = now - authorization.signed_at;
        if age.abs() > self.window {
            return Err(Refusal::Clock { seconds: age.num_seconds() });
        }
        Ok(Caller {
            key: key.clone(),
            by_previous_secret: !bool::from(by_current),
            signed_headers: authorization.signed_headers,
        })
    }
}

fn single_authorization(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION);
    let value = values.next().ok_or(Refusal::Missing)?;
    if values.next().is_some() {
        return Err(Refusal::Repeated);
    }
    std::str::from_utf8(value.as_bytes()).map_err(|_| Refusal::Malformed(Malformed::Parts))
}

/// Why a request was not taken for anybody's. No text here shows a key or a signature.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No Authorization header.
    #[error("there is no Authorization header")]
    Missing,
    /// More than one.
    #[error("there is more than one Authorization header")]
    Repeated,
    /// Not of the form.
    #[error("the Authorization header is malformed: {0}")]
    Malformed(#[from] Malformed),
    /// A signed header does not fit.
    #[error(transparent)]
    Header(#[from] HeaderProblem),
    /// Nobody has this access key.
    #[error("the access key is unknown")]
    UnknownKey,
    /// Another secret, or another request.
    #[error("the signature does not fit the request")]
    Signature,
    /// Signed well, from an address outside the key's list.
    #[error("the signature fits, but the client's address is not in the key's list (addresses)")]
    Address,
    /// Signed for another server.
    #[error("the signature fits, but its Host is not a name of this server (api.hosts)")]
    Host,
    /// Signed well, without the certificate of the key's client.
    #[error("the signature fits, but the connection is not made with the key's certificate (client_certificate)")]
    Certificate,
    /// Signed well, too late.
    #[error("the signature fits, but the key has expired (expires)")]
    Expired,
    /// Too old, or from the future.
    #[error(
        "the signature fits, but was made {seconds} seconds before this server's time (api.signature_window_minutes)"
    )]
    Clock {
        /// Our time less the client's.
        seconds: i64,
    },
}

impl Refusal {
    /// As metrics name it.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Repeated => "repeated",
            Self::Malformed(Malformed::TooManyNames { .. }) => "too_many_signed_headers",
            Self::Malformed(_) => "malformed",
            Self::Header(_) => "signed_header",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Address => "address",
            Self::Host => "host",
            Self::Certificate => "certificate",
            Self::Expired => "expired",
            Self::Clock { .. } => "clock",
        }
    }
}

/// What [`sign`] makes.
pub struct Signed {
    /// The value of the Authorization header.
    pub authorization: String,
    /// The text that was signed.
    pub canonical_request: String,
}

/// Shows no signature.
impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed").field("canonical_request", &self.canonical_request).finish_non_exhaustive()
    }
}

/// Signs a request as a client does. `timestamp` is written as it stands.
///
/// # Errors
/// A header to be signed is missing or repeated, host is not among them, or they are too many.
pub fn sign(
    request: WireRequest<'_>,
    access_key: &str,
    secret_key: &SecretString,
    timestamp: &str,
    signed_headers: &str,
) -> Result<Signed, Refusal> {
    let names = SignedHeaders::parse(signed_headers, ApiSettings::default().max_signed_headers)?;
    let [canonical_request, _] = canonical_requests(request, &names)?;
    let prefix = format!("{}/{access_key}/{timestamp}/{signed_headers}", authorization::VERSION);
    let signature = signature(&signing_key(secret_key.expose_secret(), &prefix), &canonical_request);
    Ok(Signed { authorization: format!("{prefix}/{signature}"), canonical_request })
}

/// A time as the Authorization header has it.
#[must_use]
pub fn timestamp(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
