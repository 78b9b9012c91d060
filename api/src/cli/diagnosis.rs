//! `callsweep-api sign --verify`: which part of a client's Authorization header disagrees with its request.
//!
//! The server never tells a client; this is for whoever holds the secret.

mod mistakes;

use std::fmt;

use callsweep_core::settings::ApiSettings;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};

use crate::auth::authorization::{SignedHeaders, VERSION, parse_timestamp};
use crate::auth::canonical::{WireRequest, canonical_requests, signature, signing_key};

/// How far a signature's time may be off unless `api.signature_window_minutes` says otherwise.
const USUAL_WINDOW: TimeDelta = TimeDelta::minutes(15);

/// What was found out about a header, part by part.
#[derive(Debug)]
pub(super) struct Diagnosis {
    /// The part, and what is wrong with it.
    parts: Vec<(&'static str, Result<String, String>)>,
    canonical_requests: Vec<String>,
    mistake: Option<&'static str>,
}

/// Compares a header with the request that it came with.
#[must_use]
pub(super) fn diagnose(
    header: &str,
    request: WireRequest<'_>,
    access_key: &str,
    secret_key: &SecretString,
    now: DateTime<Utc>,
) -> Diagnosis {
    let header = header.trim();
    let value = header.split_once(':').filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let value = value.map_or(header, |(_, value)| value.trim());
    let mut diagnosis = Diagnosis { parts: Vec::new(), canonical_requests: Vec::new(), mistake: None };
    let Some([prefix, version, key, timestamp, signed_headers, given]) = split(value) else {
        let form = format!("must be {VERSION}/accessKey/timestamp/signedHeaders/signature, without a scheme word");
        diagnosis.parts.push(("form", Err(form)));
        return diagnosis;
    };
    diagnosis.parts.push(("version", same(version, VERSION)));
    diagnosis.parts.push(("access key", same(key, access_key)));
    diagnosis.parts.push(("timestamp", check_timestamp(timestamp, now)));
    let names = match SignedHeaders::parse(signed_headers, ApiSettings::default().max_signed_headers) {
        Ok(names) => names,
        Err(problem) => {
            diagnosis.parts.push(("signed headers", Err(format!("are {signed_headers:?}: {problem}"))));
            return diagnosis;
        }
    };
    diagnosis.parts.push(("signed headers", Ok(signed_headers.to_owned())));
    match canonical_requests(request, &names) {
        Err(problem) => diagnosis.parts.push(("headers", Err(problem.to_string()))),
        Ok(candidates) => {
            let signing_key = signing_key(secret_key.expose_secret(), prefix);
            let fits = candidates.iter().any(|candidate| signature(&signing_key, candidate) == given);
            diagnosis.canonical_requests = candidates.into();
            let part = if fits {
                Ok("fits the request and the secret key".to_owned())
            } else {
                diagnosis.mistake = Some(mistakes::find(request, secret_key, prefix, signed_headers, given));
                Err("fits neither of the canonical requests below with this secret key".to_owned())
            };
            diagnosis.parts.push(("signature", part));
        }
    }
    diagnosis
}

/// prefix, version, access key, timestamp, signed headers, signature; read from the end, as the server does.
fn split(value: &str) -> Option<[&str; 6]> {
    let (prefix, signature) = value.rsplit_once('/')?;
    let (rest, signed_headers) = prefix.rsplit_once('/')?;
    let (rest, timestamp) = rest.rsplit_once('/')?;
    let (version, access_key) = rest.split_once('/')?;
    Some([prefix, version, access_key, timestamp, signed_headers, signature])
}

fn same(given: &str, expected: &str) -> Result<String, String> {
    if given == expected { Ok(given.to_owned()) } else { Err(format!("is {given:?}, expected {expected:?}")) }
}

fn check_timestamp(timestamp: &str, now: DateTime<Utc>) -> Result<String, String> {
    let time = parse_timestamp(timestamp).ok_or_else(|| {
        format!("is {timestamp:?}, must be UTC in the form 2024-10-31T14:06:52Z or 2024-10-31T14:06:52.123Z")
    })?;
    let age = (now - time).num_seconds();
    let text = if age < 0 {
        format!("{timestamp}, {} seconds ahead", -age)
    } else {
        format!("{timestamp}, {age} seconds old")
    };
    if (now - time).abs() > USUAL_WINDOW {
        Err(format!("{text}: the server takes 15 minutes either way"))
    } else {
        Ok(text)
    }
}

impl Diagnosis {
    /// Whether the server would take the header.
    #[must_use]
    pub(super) fn agrees(&self) -> bool {
        self.parts.iter().all(|(_, found)| found.is_ok())
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (part, found) in &self.parts {
            match found {
                Ok(text) => writeln!(f, "{part:<15} agrees     {text}")?,
                Err(text) => writeln!(f, "{part:<15} DISAGREES  {text}")?,
            }
        }
        if let Some(mistake) = self.mistake {
            writeln!(f, "\nLikely mistake: {mistake}")?;
        }
        for (which, canonical) in ["", ", the other form that is accepted"].iter().zip(&self.canonical_requests) {
            writeln!(f, "\n# Canonical request{which}\n{canonical}")?;
        }
        Ok(())
    }
}
