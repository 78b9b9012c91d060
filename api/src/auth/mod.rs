//! Authentication by signed requests: "C2", auth-v2 (contract, section 4).

pub mod authorization;
pub mod canonical;

use std::collections::HashMap;
use std::fmt;

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use callsweep_core::campaign::VdnId;
use callsweep_core::settings::{KeySettings, Vdns};
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use authorization::{Authorization, Malformed};
use canonical::{HeaderProblem, WireRequest, canonical_requests, signature, signing_key};

/// A client that may call.
#[derive(Debug)]
pub struct Key {
    /// The public half.
    pub access_key: String,
    secret: SecretString,
    vdns: Vdns,
}

impl Key {
    /// Whether this client may delete in the VDN of the path. A path that names no VDN is in no list; a key for
    /// all VDNs leaves it to the check of vdnId to say what is wrong.
    #[must_use]
    pub fn may_use(&self, vdn: Option<VdnId>) -> bool {
        match &self.vdns {
            Vdns::All(_) => true,
            Vdns::Some(vdns) => vdn.is_some_and(|vdn| vdns.contains(&vdn)),
        }
    }
}

/// Everybody who may call, and how old a signature may be.
#[derive(Debug)]
pub struct Keys {
    by_access_key: HashMap<String, Key>,
    /// Stands in for an unknown client's, so that it costs the same work.
    stand_in: SecretString,
    /// How far the time of a signature may be from ours, either way.
    window: TimeDelta,
}

/// Why the keys of the settings cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// Nobody could call.
    #[error(
        "no key is configured, so nobody could call: add [[api.keys]] with access_key, secret_key and \
         vdns = \"all\" or a list such as [1, 2] to callsweep.toml"
    )]
    None,
    /// Half a key.
    #[error("api.keys: key number {0} has an empty access_key or secret_key")]
    Empty(usize),
    /// Two keys by one name.
    #[error("api.keys: access_key {0:?} is there twice")]
    Repeated(String),
}

impl Keys {
    /// Takes the keys of the settings.
    ///
    /// # Errors
    /// There is none, one is empty, or two have the same access key.
    pub fn new(settings: &[KeySettings], window: TimeDelta) -> Result<Self, KeysError> {
        if settings.is_empty() {
            return Err(KeysError::None);
        }
        let mut by_access_key = HashMap::new();
        for (position, KeySettings { access_key, secret_key, vdns }) in settings.iter().enumerate() {
            if access_key.is_empty() || secret_key.expose_secret().is_empty() {
                return Err(KeysError::Empty(position + 1));
            }
            let key = Key { access_key: access_key.clone(), secret: secret_key.clone(), vdns: vdns.clone() };
            if by_access_key.insert(access_key.clone(), key).is_some() {
                return Err(KeysError::Repeated(access_key.clone()));
            }
        }
        let stand_in = SecretString::from(format!("{:032x}", rand::random::<u128>()));
        Ok(Self { by_access_key, stand_in, window })
    }

    /// Finds out who signed a request.
    ///
    /// # Errors
    /// Why nobody can be taken for its sender: for the log, never for the client.
    pub fn verify(&self, request: WireRequest<'_>, now: DateTime<Utc>) -> Result<&Key, Refusal> {
        let authorization = Authorization::parse(single_authorization(request.headers)?)?;
        let candidates = canonical_requests(request, authorization.signed_headers)?;
        let key = self.by_access_key.get(authorization.access_key);
        let secret = key.map_or(&self.stand_in, |key| &key.secret);
        let signing_key = signing_key(secret.expose_secret(), authorization.prefix);
        // Both are always computed, and compared without saying where they differ.
        let [first, second] = candidates
            .map(|candidate| signature(&signing_key, &candidate).as_bytes().ct_eq(authorization.signature.as_bytes()));
        let signed = bool::from(first | second);
        let key = key.ok_or(Refusal::UnknownKey)?;
        if !signed {
            return Err(Refusal::Signature);
        }
        // The window comes last, so that the log can tell a wrong clock from a wrong signature.
        let age = now - authorization.signed_at;
        if age.abs() > self.window {
            return Err(Refusal::Clock { seconds: age.num_seconds() });
        }
        Ok(key)
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
    /// Too old, or from the future.
    #[error(
        "the signature fits, but was made {seconds} seconds before this server's time (api.signature_window_minutes)"
    )]
    Clock {
        /// Our time less the client's.
        seconds: i64,
    },
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
/// A header to be signed is missing or repeated.
pub fn sign(
    request: WireRequest<'_>,
    access_key: &str,
    secret_key: &SecretString,
    timestamp: &str,
    signed_headers: &str,
) -> Result<Signed, HeaderProblem> {
    let [canonical_request, _] = canonical_requests(request, signed_headers)?;
    let prefix = format!("{}/{access_key}/{timestamp}/{signed_headers}", authorization::VERSION);
    let signature = signature(&signing_key(secret_key.expose_secret(), &prefix), &canonical_request);
    Ok(Signed { authorization: format!("{prefix}/{signature}"), canonical_request })
}

/// A time as the Authorization header has it.
#[must_use]
pub fn timestamp(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
