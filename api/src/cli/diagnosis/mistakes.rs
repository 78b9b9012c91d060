//! What clients get wrong when they sign. Each mistake is made alone: where the signature fits, it is the one.

use actix_web::http::header::HeaderMap;
use data_encoding::{BASE64, HEXLOWER};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};

use crate::auth::canonical::{WireRequest, hmac_hex, normalize, query_lines, signing_key};

/// The mistake that the signature shows, in the client's words.
pub(super) fn find(
    request: WireRequest<'_>,
    secret_key: &SecretString,
    prefix: &str,
    signed_headers: &str,
    given: &str,
) -> &'static str {
    let secret_key = secret_key.expose_secret();
    let right_key = signing_key(secret_key, prefix);
    let forms = query_lines(request.query).map(|query| Parts::of(&request, signed_headers, query));
    let fits = |key: &[u8], text: &str, given: &str| hmac_hex(key, text) == given;
    let by_key = |key: &[u8]| forms.iter().any(|parts| fits(key, &parts.text(), given));

    if forms.iter().any(|parts| fits(right_key.as_bytes(), &parts.text(), &given.to_ascii_lowercase())) {
        return "the signature is written in upper case; it must be lower-case hexadecimal";
    }
    let by_hex = |hex: &str| forms.iter().any(|parts| fits(right_key.as_bytes(), &parts.text(), hex));
    let wrong_key = KEYS.iter().find(|(_, key)| by_key(&key(secret_key, prefix, &right_key)));
    let wrong_text = || {
        let made = |change: Change, parts: &Parts| {
            let mut parts = parts.clone();
            change(&mut parts, &request);
            fits(right_key.as_bytes(), &parts.text(), given)
        };
        TEXTS.iter().find(|(_, change)| forms.iter().any(|parts| made(*change, parts)))
    };
    let is_base64 = || {
        let digest = BASE64.decode(given.as_bytes()).ok()?;
        let hex = HEXLOWER.encode(&digest);
        by_hex(&hex).then_some("the signature is in Base64; it must be lower-case hexadecimal")
    };
    let is_digest = given.len() == 64 && given.bytes().all(|b| b.is_ascii_hexdigit());
    let nothing = if is_digest {
        "no known mistake fits. Most likely the client signs with another secret key, or what it sends is not what is given here"
    } else {
        "the signature must be 64 lower-case hexadecimal digits"
    };
    let named = wrong_key.map(|(name, _)| *name).or_else(|| wrong_text().map(|(name, _)| *name)).or_else(is_base64);
    named.unwrap_or(nothing)
}

type Key = fn(secret_key: &str, prefix: &str, right: &str) -> Vec<u8>;

const KEYS: &[(&str, Key)] = &[
    (
        "the second HMAC is keyed with the 32 raw bytes; its key is the 64 characters of hexadecimal text",
        |_, _, right| {
            let digits = right.as_bytes().chunks_exact(2);
            digits.filter_map(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()).collect()
        },
    ),
    (
        "the secret key signs the canonical request itself; it must sign the prefix, and the result the request",
        |secret, _, _| secret.into(),
    ),
    ("key and message of the first HMAC are exchanged; the secret key is the key", |secret, prefix, _| {
        hmac_hex(prefix.as_bytes(), secret).into()
    }),
    ("the prefix is signed with a / at its end", |secret, prefix, _| signing_key(secret, &format!("{prefix}/")).into()),
    ("the client's secret key has a line break at its end, from the file it was read from", |secret, prefix, _| {
        signing_key(&format!("{secret}\n"), prefix).into()
    }),
    ("the secret key given here has white space around it that the client's has not", |secret, prefix, _| {
        signing_key(secret.trim(), prefix).into()
    }),
];

/// A canonical request, taken apart.
#[derive(Clone)]
struct Parts {
    method: String,
    path: String,
    query: Option<String>,
    signed_headers: String,
    /// The values by name, in the order of `signed_headers`.
    headers: Vec<(String, String)>,
    /// Whether the lines are sorted at the end, as they must be.
    sorted: bool,
    body: String,
    escape: fn(&[u8]) -> String,
    line_break: &'static str,
    end: &'static str,
}

impl Parts {
    fn of(request: &WireRequest<'_>, signed_headers: &str, query: Option<String>) -> Self {
        let value = |name: &str| text_of(request.headers, name);
        Self {
            method: request.method.to_owned(),
            path: request.path.to_owned(),
            query,
            signed_headers: signed_headers.to_owned(),
            headers: signed_headers.split(';').map(|name| (name.to_owned(), value(name))).collect(),
            sorted: true,
            body: String::from_utf8_lossy(request.body).into_owned(),
            escape: normalize,
            line_break: "\n",
            end: "",
        }
    }

    fn text(&self) -> String {
        let escape = |text: &str| (self.escape)(text.as_bytes());
        let mut lines: Vec<String> =
            self.headers.iter().map(|(name, value)| format!("{}:{}", escape(name), escape(value))).collect();
        if self.sorted {
            lines.sort_unstable();
            lines.dedup();
        }
        let mut all = vec![self.method.clone(), self.path.clone()];
        all.extend(self.query.clone());
        all.push(self.signed_headers.clone());
        all.extend(lines);
        all.push(escape(&self.body));
        all.join(self.line_break) + self.end
    }

    fn set(&mut self, name: &str, change: impl Fn(&str) -> String) {
        for (_, value) in self.headers.iter_mut().filter(|(have, _)| have == name) {
            *value = change(value);
        }
    }
}

fn text_of(headers: &HeaderMap, name: &str) -> String {
    let value = headers.get(name).map(|value| value.as_bytes().trim_ascii()).unwrap_or_default();
    String::from_utf8_lossy(value).into_owned()
}

type Change = fn(&mut Parts, &WireRequest<'_>);

const CONTENT_TYPE: &str = "the Content-Type that is signed is not the one that is sent";

const TEXTS: &[(&str, Change)] = &[
    ("a line break follows the body; nothing may follow it", |parts, _| parts.end = "\n"),
    ("lines end in \\r\\n; they must end in \\n", |parts, _| parts.line_break = "\r\n"),
    ("the body is signed without the white space around it", |parts, _| parts.body = parts.body.trim().to_owned()),
    ("the body is sent without the line break that is signed", |parts, _| parts.body += "\n"),
    ("the body is left out of the canonical request", |parts, _| parts.body.clear()),
    ("header values and body are not percent-encoded", |parts, _| {
        parts.escape = |bytes| String::from_utf8_lossy(bytes).into_owned();
    }),
    ("escapes are in lower case (%7b); they must be in upper case (%7B)", |parts, _| parts.escape = in_lower_case),
    ("the text is encoded as a form (Java's URLEncoder): + for a space, * kept, ~ escaped", |parts, _| {
        parts.escape = |bytes| normalize(bytes).replace("%20", "+").replace("%2A", "*").replace('~', "%7E");
    }),
    ("! ' ( ) * are kept (JavaScript's encodeURIComponent); they must be escaped", |parts, _| {
        parts.escape = |bytes| {
            ["!", "'", "(", ")", "*"]
                .iter()
                .fold(normalize(bytes), |text, kept| text.replace(&normalize(kept.as_bytes()), kept))
        };
    }),
    ("/ is kept (Python's quote); it must be escaped", |parts, _| {
        parts.escape = |bytes| normalize(bytes).replace("%2F", "/");
    }),
    ("the canonical request names the signed headers sorted, the Authorization header does not", |parts, _| {
        let mut names: Vec<&str> = parts.signed_headers.split(';').collect();
        names.sort_unstable();
        parts.signed_headers = names.join(";");
    }),
    ("header lines stand in the order of the signed headers; the whole lines must be sorted", |parts, _| {
        parts.sorted = false;
    }),
    (
        "header lines are sorted by name; the whole lines must be, so that accept-encoding: stands before accept:",
        |parts, _| {
            parts.headers.sort();
            parts.sorted = false;
        },
    ),
    ("the path is signed with its percent-encoding undone; it must be signed as it travels", |parts, _| {
        parts.path = percent_decode_str(&parts.path).decode_utf8_lossy().into_owned();
    }),
    ("the path is percent-encoded once more; it must be signed as it travels", |parts, _| {
        parts.path = normalize(parts.path.as_bytes());
    }),
    ("the / of the path are escaped and the rest too often; it must be signed as it travels", |parts, _| {
        parts.path = normalize(parts.path.as_bytes()).replace("%2F", "/");
    }),
    ("the query is left out of the canonical request", |parts, _| parts.query = None),
    ("the query is signed as it travels; its pairs must be escaped and sorted", |parts, request| {
        parts.query = request.query.map(str::to_owned);
    }),
    ("the path is signed with a / at its end that is not sent", |parts, _| parts.path += "/"),
    ("the path is sent with a / at its end that is not signed", |parts, _| {
        parts.path = parts.path.trim_end_matches('/').to_owned();
    }),
    ("the method is signed as GET", |parts, _| parts.method = "GET".to_owned()),
    ("the body is signed without the spaces that are sent: sign the very bytes that are sent", |parts, _| {
        parts.body = respaced(&parts.body, "");
    }),
    ("the body is signed with spaces that are not sent: sign the very bytes that are sent", |parts, _| {
        parts.body = respaced(&parts.body, " ");
    }),
    ("the method is signed in another letter case", |parts, _| parts.method = parts.method.to_ascii_lowercase()),
    ("host is signed without the port that is sent", |parts, _| {
        parts.set("host", |host| host.rsplit_once(':').map_or(host, |(name, _)| name).to_owned());
    }),
    ("host is signed with port 80, which the client does not send", |parts, _| {
        parts.set("host", |host| format!("{host}:80"));
    }),
    ("host is signed with port 443, which the client does not send", |parts, _| {
        parts.set("host", |host| format!("{host}:443"));
    }),
    (CONTENT_TYPE, |parts, _| parts.set("content-type", |_| "application/json".to_owned())),
    (CONTENT_TYPE, |parts, _| parts.set("content-type", |_| "application/json;charset=UTF-8".to_owned())),
    (CONTENT_TYPE, |parts, _| parts.set("content-type", |_| "application/json;charset=utf-8".to_owned())),
    (CONTENT_TYPE, |parts, _| parts.set("content-type", |_| "application/json; charset=UTF-8".to_owned())),
    (CONTENT_TYPE, |parts, _| parts.set("content-type", |_| "application/json; charset=utf-8".to_owned())),
];

/// A JSON text with this behind each `:` and `,`, and no other white space outside of strings.
fn respaced(json: &str, behind: &str) -> String {
    let (mut text, mut in_string, mut escaped) = (String::new(), false, false);
    for c in json.chars() {
        if in_string {
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
        } else if c.is_ascii_whitespace() {
            continue;
        } else {
            in_string = c == '"';
        }
        text.push(c);
        if !in_string && (c == ':' || c == ',') {
            text += behind;
        }
    }
    text
}

/// `%7B` as `%7b`; the rest stays.
fn in_lower_case(bytes: &[u8]) -> String {
    let kept = normalize(bytes);
    let mut pieces = kept.split('%');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| {
        let (escape, rest) = piece.split_at(piece.len().min(2));
        text + "%" + &escape.to_ascii_lowercase() + rest
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::authorization::SignedHeaders;
    use actix_web::http::header::{HeaderName, HeaderValue};

    const PREFIX: &str = "auth-v2/k/2024-10-31T14:06:52Z/content-type;host;accept;accept-encoding";
    const NAMES: &str = "content-type;host;accept;accept-encoding";

    /// A request in which every mistake makes a difference.
    fn with_request(test: impl FnOnce(WireRequest<'_>)) {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("host", "a.example:8080"),
            ("content-type", "application/json; charset=\"utf-8\""),
            ("accept", "*/*"),
            ("accept-encoding", "gzip"),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        test(WireRequest {
            method: "POST",
            path: "/campaigns/%31/delete/",
            query: Some("b=%2a&a=1"),
            headers: &headers,
            body: " {\"a\": \"it's/~*é\",\"b\":1}\n".as_bytes(),
        });
    }

    fn found(request: WireRequest<'_>, key: &[u8], text: &str) -> &'static str {
        find(request, &" secret".into(), PREFIX, NAMES, &hmac_hex(key, text))
    }

    #[test]
    fn every_mistake_is_found_as_itself() {
        with_request(|request| {
            let right = signing_key(" secret", PREFIX);
            let [query, _] = query_lines(request.query);
            let parts = Parts::of(&request, NAMES, query);
            for (name, key) in KEYS {
                assert_eq!(found(request, &key(" secret", PREFIX, &right), &parts.text()), *name);
            }
            for (name, change) in TEXTS {
                let mut parts = parts.clone();
                change(&mut parts, &request);
                assert_eq!(found(request, right.as_bytes(), &parts.text()), *name);
            }
        });
    }

    #[test]
    fn what_fits_nothing_is_most_likely_another_secret() {
        with_request(|request| {
            let another = found(request, b"another key", "another text");
            assert!(another.contains("another secret key"), "{another}");
            let of = |given: &str| find(request, &"secret".into(), PREFIX, NAMES, given);
            assert_eq!(of("c2lnbmF0dXJl"), "the signature must be 64 lower-case hexadecimal digits");
            assert_eq!(of(""), "the signature must be 64 lower-case hexadecimal digits");
        });
    }

    #[test]
    fn base64_is_named() {
        with_request(|request| {
            let [query, _] = query_lines(request.query);
            let text = Parts::of(&request, NAMES, query).text();
            let hex = hmac_hex(signing_key(" secret", PREFIX).as_bytes(), &text);
            let given = BASE64.encode(&HEXLOWER.decode(hex.as_bytes()).unwrap());
            let named = find(request, &" secret".into(), PREFIX, NAMES, &given);
            assert_eq!(named, "the signature is in Base64; it must be lower-case hexadecimal");
        });
    }

    #[test]
    fn spaces_within_strings_stay() {
        assert_eq!(respaced(r#"{ "a" : "x: \"y , z" ,"b":1}"#, " "), r#"{"a": "x: \"y , z", "b": 1}"#);
        assert_eq!(respaced("{\"a\": 1,\n \"b\": 2}", ""), r#"{"a":1,"b":2}"#);
    }

    #[test]
    fn taken_apart_and_put_together_it_is_the_canonical_request() {
        with_request(|request| {
            let forms = query_lines(request.query).map(|query| Parts::of(&request, NAMES, query).text());
            let names = SignedHeaders::parse(NAMES, 9).unwrap();
            assert_eq!(Ok(forms), crate::auth::canonical::canonical_requests(request, &names));
        });
    }
}
