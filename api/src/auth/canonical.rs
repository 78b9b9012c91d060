//! The canonical request of auth-v2 (contract, section 4): the one text that both sides sign.
//!
//! Signing and verifying share this file, so they cannot disagree.

use actix_web::http::header::HeaderMap;
use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use sha2::Sha256;

use super::authorization::SignedHeaders;

/// A request as it stands on the wire.
#[derive(Clone, Copy)]
pub struct WireRequest<'a> {
    /// `POST`
    pub method: &'a str,
    /// The path, neither decoded nor encoded again.
    pub path: &'a str,
    /// What follows the `?`.
    pub query: Option<&'a str>,
    /// All headers.
    pub headers: &'a HeaderMap,
    /// The body, exactly as received.
    pub body: &'a [u8],
}

/// Why a request cannot have been signed over these headers.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderProblem {
    /// A signed header is not there.
    #[error("the signed header {0:?} is missing")]
    Missing(String),
    /// A signed header is there more than once, so nobody can say which was signed.
    #[error("the signed header {0:?} is there more than once")]
    Repeated(String),
}

/// Everything but `A-Z a-z 0-9 - . _ ~` is escaped.
const ESCAPED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The escaping of auth-v2.
pub(crate) fn normalize(bytes: &[u8]) -> String {
    percent_encode(bytes, &ESCAPED).to_string()
}

/// The canonical requests that a client may have signed, the form of the contract first.
///
/// There are always two, so that every request costs the same work. They differ in the line for the query:
/// - Without a query the line is absent; ports of the vendor's newer demo send an empty one.
/// - With a query, names and values are decoded before they are normalised, because clients sign them before they
///   are written into the URL. A client that signs the URL as written is accepted too.
///
/// # Errors
/// A signed header is missing or repeated.
pub fn canonical_requests(
    request: WireRequest<'_>,
    signed_headers: &SignedHeaders<'_>,
) -> Result<[String; 2], HeaderProblem> {
    let headers = canonical_headers(request.headers, signed_headers)?;
    let signed_headers = signed_headers.text;
    let body = normalize(request.body);
    let whole = |query_line: Option<String>| {
        let query_line = query_line.map(|line| line + "\n").unwrap_or_default();
        format!("{}\n{}\n{query_line}{signed_headers}\n{headers}\n{body}", request.method, request.path)
    };
    Ok(query_lines(request.query).map(whole))
}

/// The query's line in both forms.
pub(crate) fn query_lines(query: Option<&str>) -> [Option<String>; 2] {
    let Some(query) = query.filter(|query| !query.is_empty()) else { return [None, Some(String::new())] };
    let decoded = |text: &str| normalize(&percent_decode_str(text).collect::<Vec<u8>>());
    let as_written = |text: &str| normalize(text.as_bytes());
    [Some(query_line(query, decoded)), Some(query_line(query, as_written))]
}

/// `normalize(k)=normalize(v)` pairs, sorted, joined by `&`. A name without `=` counts as one with an empty value,
/// as a map of parameters would hold it; an empty piece (`a=1&&b=2`) is no pair.
fn query_line(query: &str, normalize: impl Fn(&str) -> String) -> String {
    let pair = |piece: &str| {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        format!("{}={}", normalize(name), normalize(value))
    };
    let mut pairs: Vec<String> = query.split('&').filter(|piece| !piece.is_empty()).map(pair).collect();
    pairs.sort_unstable();
    pairs.join("&")
}

/// One line for each signed header, the whole lines sorted as strings. Repeated names are gone already.
fn canonical_headers(headers: &HeaderMap, signed_headers: &SignedHeaders<'_>) -> Result<String, HeaderProblem> {
    let mut lines = Vec::with_capacity(signed_headers.names.len());
    for name in &signed_headers.names {
        let mut values = headers.get_all(*name);
        let value = values.next().ok_or_else(|| HeaderProblem::Missing((*name).to_owned()))?;
        if values.next().is_some() {
            return Err(HeaderProblem::Repeated((*name).to_owned()));
        }
        lines.push(format!("{}:{}", normalize(name.as_bytes()), normalize(value.as_bytes().trim_ascii())));
    }
    lines.sort_unstable();
    Ok(lines.join("\n"))
}

/// The signature of a canonical request: 64 lower-case hexadecimal digits.
#[must_use]
pub fn signature(signing_key: &str, canonical_request: &str) -> String {
    hmac_hex(signing_key.as_bytes(), canonical_request)
}

/// The key that signs requests with this prefix. The signature uses this text itself as its key, not the 32 bytes
/// it stands for.
#[must_use]
pub fn signing_key(secret_key: &str, prefix: &str) -> String {
    hmac_hex(secret_key.as_bytes(), prefix)
}

/// HMAC-SHA256 as 64 lower-case hexadecimal digits.
pub(crate) fn hmac_hex(key: &[u8], message: &str) -> String {
    #[allow(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    hmac.update(message.as_bytes());
    HEXLOWER.encode(&hmac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_pairs_are_normalised_and_then_sorted() {
        let decoded = |text: &str| normalize(&percent_decode_str(text).collect::<Vec<u8>>());
        assert_eq!(query_line("b=2&a=%E6%8E%A8%20x&&flag", decoded), "a=%E6%8E%A8%20x&b=2&flag=");
        assert_eq!(query_line("a=b=c", decoded), "a=b%3Dc");
        // `a-b` stands behind `a` by name alone; as whole lines it stands before it.
        assert_eq!(query_line("a=1&a-b=1", decoded), "a-b=1&a=1");
    }

    #[test]
    fn header_lines_are_sorted_whole() {
        let mut headers = HeaderMap::new();
        for name in ["accept", "accept-encoding", "host"] {
            let name = actix_web::http::header::HeaderName::from_static(name);
            headers.insert(name, actix_web::http::header::HeaderValue::from_static("a b"));
        }
        let lines = |names| canonical_headers(&headers, &SignedHeaders::parse(names, 9).unwrap());
        assert_eq!(
            lines("accept;accept-encoding;accept;host").unwrap(),
            "accept-encoding:a%20b\naccept:a%20b\nhost:a%20b"
        );
        assert_eq!(lines("host;"), Err(HeaderProblem::Missing(String::new())));
    }
}
