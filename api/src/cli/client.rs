//! The other side of the line: a call as a client makes it, for the commands `sign` and `demo`.

use std::borrow::Cow;

use actix_web::http::Uri;
use actix_web::http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use secrecy::SecretString;

use crate::auth::canonical::WireRequest;
use crate::auth::{self, Signed};

/// The content type of the page.
const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=UTF-8");

/// A call to be signed.
#[derive(Debug)]
pub struct ClientCall {
    method: String,
    url: Uri,
    headers: HeaderMap,
    body: String,
}

/// Why a call cannot be made of what was given.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Not an absolute http URL.
    #[error("--url {0:?} must be a whole URL such as http://127.0.0.1:8080/rest/…")]
    Url(String),
    /// Not a header.
    #[error("--header {0:?} must have the form \"Name: value\"")]
    Header(String),
    /// The request cannot be signed.
    #[error(transparent)]
    Unsignable(#[from] auth::Refusal),
}

impl ClientCall {
    /// Puts a call together. `headers` are `Name: value`; host and content type are added unless they are among them.
    ///
    /// # Errors
    /// The URL or a header has not its form.
    pub fn new(method: &str, url: &str, headers: &[String], body: &str) -> Result<Self, ClientError> {
        let url: Uri = url.parse().map_err(|_| ClientError::Url(url.to_owned()))?;
        let host = host(&url).ok_or_else(|| ClientError::Url(url.to_string()))?;
        let mut all = HeaderMap::new();
        for header in headers {
            let (name, value) = parse_header(header).ok_or_else(|| ClientError::Header(header.clone()))?;
            all.append(name, value);
        }
        if !all.contains_key(HOST) {
            all.insert(HOST, host);
        }
        if !all.contains_key(CONTENT_TYPE) {
            all.insert(CONTENT_TYPE, JSON);
        }
        Ok(Self { method: method.to_owned(), url, headers: all, body: body.to_owned() })
    }

    /// Signs it over all its headers.
    ///
    /// # Errors
    /// A header is there twice.
    pub fn sign(&self, access_key: &str, secret_key: &SecretString, timestamp: &str) -> Result<Signed, ClientError> {
        let mut names: Vec<&str> = self.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        Ok(auth::sign(self.request(), access_key, secret_key, timestamp, &names.join(";"))?)
    }

    /// The request as it will travel.
    #[must_use]
    pub fn request(&self) -> WireRequest<'_> {
        WireRequest {
            method: &self.method,
            path: self.url.path(),
            query: self.url.query(),
            headers: &self.headers,
            body: self.body.as_bytes(),
        }
    }

    /// A line for the shell that sends it. curl makes the Host header of the URL by itself.
    #[must_use]
    pub fn curl(&self, authorization: &str) -> String {
        let mut words = vec!["curl".to_owned(), "-X".to_owned(), self.method.clone(), self.url.to_string()];
        let own_host = host(&self.url);
        for (name, value) in &self.headers {
            if name != HOST || Some(value) != own_host.as_ref() {
                words.extend(["-H".to_owned(), format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))]);
            }
        }
        words.extend(["-H".to_owned(), format!("Authorization: {authorization}")]);
        words.extend(["--data-raw".to_owned(), self.body.clone()]);
        words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }
}

/// A word that the shell takes as it is. Only a NUL cannot be quoted, and no argument holds one.
pub(crate) fn quoted(word: &str) -> Cow<'_, str> {
    shlex::try_quote(word).unwrap_or(Cow::Borrowed(word))
}

/// The Host header as clients send it: without the port where it is the scheme's own.
fn host(url: &Uri) -> Option<HeaderValue> {
    let own_port = match url.scheme_str()? {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let host = url.host()?;
    let host = match url.port_u16().filter(|port| *port != own_port) {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    };
    HeaderValue::from_str(&host).ok()
}

fn parse_header(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':')?;
    Some((name.trim().parse().ok()?, HeaderValue::from_str(value.trim()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_curl_line_survives_the_shell() {
        let call =
            ClientCall::new("POST", "http://127.0.0.1:8080/a?b=c&d", &[], r#"{"sessionId":"it's $HOME"}"#).unwrap();
        let words = shlex::split(&call.curl("auth-v2/k/t/host/s")).unwrap();
        let expected = [
            "curl",
            "-X",
            "POST",
            "http://127.0.0.1:8080/a?b=c&d",
            "-H",
            "content-type: application/json; charset=UTF-8",
            "-H",
            "Authorization: auth-v2/k/t/host/s",
            "--data-raw",
            r#"{"sessionId":"it's $HOME"}"#,
        ];
        assert_eq!(words, expected);
    }

    #[test]
    fn the_host_is_the_one_that_clients_send() {
        let host_of = |url: &str| host(&url.parse().unwrap()).map(|host| host.to_str().unwrap().to_owned());
        assert_eq!(host_of("http://a.example:80/x").as_deref(), Some("a.example"));
        assert_eq!(host_of("https://a.example:80/x").as_deref(), Some("a.example:80"));
        assert_eq!(host_of("https://u:p@[::1]:8443").as_deref(), Some("[::1]:8443"));
        assert_eq!(host_of("/x"), None);
        assert!(ClientCall::new("POST", "ftp://a/", &[], "").is_err());
        assert!(ClientCall::new("POST", "http://a/", &["no colon".to_owned()], "").is_err());
    }
}
