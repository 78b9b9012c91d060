//! The keys by which the ledger knows a request: the digests of its signature and of its Idempotency-Key.

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use callsweep_core::settings::ApiSettings;
use sha2::{Digest, Sha256};

use crate::auth::Caller;

/// The header of the IETF draft "The Idempotency-Key HTTP Header Field".
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest Idempotency-Key that is accepted, in bytes. The draft's own are UUIDs.
pub const IDEMPOTENCY_KEY_MAX: usize = 255;

/// The settings ask for requests to be executed again when they are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "api.replay_answers = false is not supported: whoever captures a signed request could send it again and remove more \
     numbers. Remove the setting, or set it to true"
)]
pub struct ReplayTurnedOff;

/// Refuses settings under which a captured request could remove more numbers.
///
/// # Errors
/// `api.replay_answers` is false.
pub fn check_settings(settings: &ApiSettings) -> Result<(), ReplayTurnedOff> {
    if settings.replay_answers { Ok(()) } else { Err(ReplayTurnedOff) }
}

/// The digest of a request's signature. A request that was authenticated has one. It is always written to the ledger:
/// whatever else comes with a captured request, it is known.
#[must_use]
pub fn of_signature(headers: &HeaderMap) -> Option<String> {
    headers.get(AUTHORIZATION).map(|signature| digest("signature", &[signature.as_bytes()]))
}

/// The digest of a request's Idempotency-Key.
///
/// # Errors
/// It is not signed, or has not its form.
pub fn of_header(headers: &HeaderMap, caller: &Caller<'_>) -> Result<Option<String>, IdempotencyKeyProblem> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY);
    let Some(value) = given.next() else { return Ok(None) };
    // Otherwise whoever captures a request could give it a key of its own, and with it another identity.
    if !caller.has_signed(&IDEMPOTENCY_KEY) {
        return Err(IdempotencyKeyProblem::Unsigned);
    }
    let bytes = value.as_bytes();
    let fits = (1..=IDEMPOTENCY_KEY_MAX).contains(&bytes.len()) && bytes.iter().all(|b| (b' '..=b'~').contains(b));
    if !fits || given.next().is_some() {
        return Err(IdempotencyKeyProblem::Form);
    }
    // Two clients may choose the same text.
    Ok(Some(digest("key", &[caller.key.access_key.as_bytes(), bytes])))
}

/// Why an Idempotency-Key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdempotencyKeyProblem {
    /// The signature does not cover it.
    Unsigned,
    /// Empty, too long, not printable ASCII, or there twice.
    Form,
}

/// A text of fixed length for the ledger, which does not show what it was made of.
fn digest(kind: &str, parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        // With its length, so that the parts cannot run into each other.
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{kind}:{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_fits_its_column_and_depends_on_every_part() {
        // `purge_run.request_key` and `idempotency_key` have 128 characters.
        assert!(digest("signature", &[&[b'a'; 10_000]]).len() <= 128);
        assert_ne!(digest("key", &[b"1", b"23"]), digest("key", &[b"12", b"3"]));
        assert_ne!(digest("key", &[b"k", b"1"]), digest("key", &[b"l", b"1"]));
        assert_ne!(digest("key", &[b"1"]), digest("signature", &[b"1"]));
    }
}
