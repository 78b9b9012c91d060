//! The Authorization header of auth-v2: `auth-v2/accessKey/timestamp/signedHeaders/signature`, no scheme word.

use std::fmt;

use chrono::{DateTime, NaiveDateTime, Timelike, Utc};

/// The parts of an Authorization header, as received.
#[derive(Clone, PartialEq, Eq)]
pub struct Authorization<'a> {
    /// Everything before the signature: what the signing key is made from.
    pub prefix: &'a str,
    /// Who claims to call.
    pub access_key: &'a str,
    /// When it was signed.
    pub signed_at: DateTime<Utc>,
    /// Which headers are signed.
    pub signed_headers: SignedHeaders<'a>,
    /// 64 lower-case hexadecimal digits, if it is any good.
    pub signature: &'a str,
}

/// Shows no signature.
impl fmt::Debug for Authorization<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authorization")
            .field("access_key", &self.access_key)
            .field("signed_at", &self.signed_at)
            .field("signed_headers", &self.signed_headers.text)
            .finish_non_exhaustive()
    }
}

/// What makes a text no Authorization header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not this version of the scheme.
    #[error("it does not begin with auth-v2/")]
    Version,
    /// A part is missing or empty.
    #[error("it has not the five parts auth-v2/accessKey/timestamp/signedHeaders/signature")]
    Parts,
    /// Not a time in one of the two forms.
    #[error("its timestamp is not in the form yyyy-MM-ddTHH:mm:ssZ or yyyy-MM-ddTHH:mm:ss.SSSZ")]
    Timestamp,
    /// The names are to be in lower case.
    #[error("its signed headers are not in lower case")]
    UpperCase,
    /// Without it a signed request could be sent to another server.
    #[error("host is not among its signed headers")]
    HostUnsigned,
    /// More than a client signs: each name costs a lookup and an encoding before the signature is known to be right.
    #[error(
        "it names more than {max_names} signed headers, or they are longer than {} bytes (api.max_signed_headers)",
        .max_names * BYTES_PER_NAME
    )]
    TooManyNames {
        /// `api.max_signed_headers`
        max_names: usize,
    },
}

/// Bytes allowed for each signed header's name. The longest names in IANA's registry of HTTP fields have about 45.
const BYTES_PER_NAME: usize = 64;

/// The names of the signed headers: bounded in number and length, `host` among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedHeaders<'a> {
    /// The list as received: this text is signed, in its own order.
    pub text: &'a str,
    /// Each name once, sorted.
    pub names: Vec<&'a str>,
}

impl<'a> SignedHeaders<'a> {
    /// Reads names that are joined by `;`. `max_names` bounds them before anything is done with them, repeated ones
    /// included; it bounds their bytes too, by 64 for each.
    ///
    /// # Errors
    /// There are too many, one is not in lower case, or `host` is not among them.
    pub fn parse(text: &'a str, max_names: usize) -> Result<Self, Malformed> {
        let is_long = text.len() > max_names.saturating_mul(BYTES_PER_NAME);
        if is_long || text.bytes().filter(|b| *b == b';').count() >= max_names {
            return Err(Malformed::TooManyNames { max_names });
        }
        if text.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(Malformed::UpperCase);
        }
        let mut names: Vec<&str> = text.split(';').collect();
        names.sort_unstable();
        names.dedup();
        if names.binary_search(&"host").is_err() {
            return Err(Malformed::HostUnsigned);
        }
        Ok(Self { text, names })
    }
}

/// The version that prefixes begin with.
pub const VERSION: &str = "auth-v2";

impl<'a> Authorization<'a> {
    /// Takes a header's value apart. It is read from its end: no other part than the access key may hold a `/`.
    /// `max_names`: signed headers at most (`api.max_signed_headers`).
    ///
    /// # Errors
    /// Says which part is wrong: for the log, never for the client.
    pub fn parse(value: &'a str, max_names: usize) -> Result<Self, Malformed> {
        let (prefix, signature) = value.rsplit_once('/').ok_or(Malformed::Version)?;
        let rest = prefix.strip_prefix(VERSION).and_then(|rest| rest.strip_prefix('/')).ok_or(Malformed::Version)?;
        let (rest, signed_headers) = rest.rsplit_once('/').ok_or(Malformed::Parts)?;
        let (access_key, timestamp) = rest.rsplit_once('/').ok_or(Malformed::Parts)?;
        if access_key.is_empty() || signature.is_empty() {
            return Err(Malformed::Parts);
        }
        let signed_headers = SignedHeaders::parse(signed_headers, max_names)?;
        let signed_at = parse_timestamp(timestamp).ok_or(Malformed::Timestamp)?;
        Ok(Self { prefix, access_key, signed_at, signed_headers, signature })
    }
}

/// Reads `yyyy-MM-ddTHH:mm:ssZ` or `yyyy-MM-ddTHH:mm:ss.SSSZ`, UTC. chrono alone would take other widths too.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<DateTime<Utc>> {
    let fits = |shape: &[u8]| {
        text.len() == shape.len()
            && text.bytes().zip(shape).all(|(b, form)| if *form == b'0' { b.is_ascii_digit() } else { b == *form })
    };
    if !fits(b"0000-00-00T00:00:00Z") && !fits(b"0000-00-00T00:00:00.000Z") {
        return None;
    }
    let time = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.fZ").ok()?;
    // chrono keeps the second :60 as more than a second's worth of nanoseconds.
    (time.nanosecond() < 1_000_000_000).then(|| time.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_parts_as_received() {
        let authorization = Authorization::parse("auth-v2/a/b/2024-10-31T14:06:52.123Z/x-b;host;x-a/sig", 3).unwrap();
        assert_eq!(authorization.prefix, "auth-v2/a/b/2024-10-31T14:06:52.123Z/x-b;host;x-a");
        assert_eq!((authorization.access_key, authorization.signature), ("a/b", "sig"));
        assert_eq!(authorization.signed_headers.text, "x-b;host;x-a");
        assert_eq!(authorization.signed_headers.names, ["host", "x-a", "x-b"]);
        assert_eq!(authorization.signed_at.to_rfc3339(), "2024-10-31T14:06:52.123+00:00");
        assert!(!format!("{authorization:?}").contains("sig\""));
    }

    #[test]
    fn names_are_bounded_in_number_and_length_and_kept_once() {
        let too_many = Err(Malformed::TooManyNames { max_names: 4 });
        assert_eq!(SignedHeaders::parse("host;a;a;b", 4).unwrap().names, ["a", "b", "host"]);
        assert_eq!(SignedHeaders::parse("host;a;a;a;a", 4), too_many, "repeated names count");
        let long = "x".repeat(4 * BYTES_PER_NAME - "host;".len());
        assert!(SignedHeaders::parse(&format!("host;{long}"), 4).is_ok());
        assert_eq!(SignedHeaders::parse(&format!("host;{long}x"), 4), too_many);
    }

    #[test]
    fn names_the_part_that_is_wrong() {
        let cases = [
            ("", Malformed::Version),
            ("Basic dTpw", Malformed::Version),
            ("auth-v1/k/2024-10-31T14:06:52Z/host/s", Malformed::Version),
            ("auth-v2/s", Malformed::Version),
            ("auth-v2/k/s", Malformed::Parts),
            ("auth-v2/2024-10-31T14:06:52Z/host/s", Malformed::Parts),
            ("auth-v2//2024-10-31T14:06:52Z/host/s", Malformed::Parts),
            ("auth-v2/k/2024-10-31T14:06:52Z/host/", Malformed::Parts),
            ("auth-v2/k/2024-10-31T14:06:52Z/Host/s", Malformed::UpperCase),
            ("auth-v2/k/2024-10-31T14:06:52Z/content-type/s", Malformed::HostUnsigned),
            ("auth-v2/k/2024-10-31T14:06:52Z//s", Malformed::HostUnsigned),
        ];
        for (value, problem) in cases {
            assert_eq!(Authorization::parse(value, 32), Err(problem), "{value}");
        }
        let times = [
            "2024-10-31T14:06:52",
            "2024-10-31T14:06:52+00:00",
            "2024-10-31 14:06:52Z",
            "2024-10-31T14:06:52.1Z",
            "2024-10-31T14:06:52.1234Z",
            "2024-13-31T14:06:52Z",
            "2024-10-31T24:00:00Z",
            "2024-10-31T14:06:60Z",
            "2023-02-29T14:06:52Z",
            "20241031T140652Z",
            "1730383612",
            "2024-1-31T14:06:52Z",
        ];
        for time in times {
            let value = format!("auth-v2/k/{time}/host/s");
            assert_eq!(Authorization::parse(&value, 32), Err(Malformed::Timestamp), "{time}");
        }
    }
}
