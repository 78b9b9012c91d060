//! auth-v2, written a second time from the contract: it shares no code with the server.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Who signs, when, and over what.
#[derive(Clone, Debug)]
pub(crate) struct Signer {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    pub(crate) timestamp: String,
    pub(crate) signed_headers: String,
    /// The query's line, written by hand in the test. `None`: no line.
    pub(crate) query_line: Option<String>,
}

impl Signer {
    /// The value of the Authorization header.
    pub(crate) fn sign(&self, method: &str, path: &str, headers: &[(String, String)], body: &[u8]) -> String {
        let mut lines: Vec<String> = Vec::new();
        for name in self.signed_headers.split(';') {
            // The first of several: what a signer knows that sends the header once.
            let value = headers.iter().find(|(have, _)| have.eq_ignore_ascii_case(name)).map_or("", |(_, value)| value);
            let line = escape(name.as_bytes()) + ":" + &escape(value.trim().as_bytes());
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        lines.sort();
        let mut parts = vec![method.to_owned(), path.to_owned()];
        parts.extend(self.query_line.clone());
        parts.extend([self.signed_headers.clone(), lines.join("\n"), escape(body)]);
        let prefix = ["auth-v2", &self.access_key, &self.timestamp, &self.signed_headers].join("/");
        let signing_key = hmac(self.secret_key.as_bytes(), &prefix);
        format!("{prefix}/{}", hmac(signing_key.as_bytes(), &parts.join("\n")))
    }
}

fn escape(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|&b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(b).to_string(),
            _ => format!("%{b:02X}"),
        })
        .collect()
}

pub(crate) fn hmac(key: &[u8], message: &str) -> String {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    hmac.update(message.as_bytes());
    hmac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect()
}
