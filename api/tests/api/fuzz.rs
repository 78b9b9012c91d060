//! Input that nobody would write by hand, for the two parsers that face strangers. What is generated is half made of
//! pieces that fit, so that it gets past the first check.
//!
//! A plain test run makes a bounded number of them. Ten minutes of each, on any toolchain:
//!
//!     BOLERO_RANDOM_ITERATIONS=1000000000 BOLERO_RANDOM_TEST_TIME_MS=600000 cargo test -p callsweep-api --test api fuzz

use std::time::Duration;

use actix_web::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use callsweep_api::auth::authorization::{Authorization, SignedHeaders};
use callsweep_api::auth::canonical::{WireRequest, canonical_requests};
use callsweep_api::auth::{Keys, Origin, sign};
use callsweep_api::call::answer::Answer;
use callsweep_api::call::body::DeleteCall;
use callsweep_core::invalid::{InvalidParameter, Problem};
use callsweep_core::number::{Called, CustomField, SessionId};
use callsweep_core::result_code::Locale;
use serde_json::{Map, Value, json};

use crate::server::{KEY, NOW};

/// Inputs of each in a plain test run: a few seconds in a debug build.
const IN_A_TEST_RUN: usize = 5_000;
/// Where this is over first, the rest is left out.
const AT_MOST: Duration = Duration::from_secs(60);

/// Each byte is a piece, or where there are no so many pieces, itself.
fn pieces(pieces: &[&str], choices: &[u8]) -> Vec<u8> {
    let piece = |choice: &u8| pieces.get(usize::from(*choice)).map_or(vec![*choice], |piece| piece.as_bytes().to_vec());
    choices.iter().flat_map(piece).collect()
}

const OF_HEADERS: [&str; 16] = [
    "auth-v2/globalaktest/2024-10-31T14:06:52Z/content-type;host/",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "auth-v2",
    "/",
    "globalaktest",
    "2024-10-31T14:06:52",
    "Z",
    ".123Z",
    "host",
    ";",
    "content-type",
    "Host",
    "auth-v2/",
    "é",
    "2023-02-29T24:00:60Z",
    " ",
];
const OF_URLS: [&str; 12] = ["/", "%", "%2F", "a", "=", "&", "+", "?", "%E6%8E%A8", "1", "%zz", ";"];

fn keys() -> Keys {
    let key = json!({"access_key": KEY.0, "secret_key": KEY.1, "vdns": "all"});
    Keys::new(&serde_json::from_value(json!({"keys": [key]})).unwrap()).unwrap()
}

#[test]
fn authorization_and_its_canonical_request() {
    let keys = keys();
    let now = callsweep_api::auth::authorization::parse_timestamp(NOW).unwrap();
    bolero::check!()
        .with_iterations(IN_A_TEST_RUN)
        .with_test_time(AT_MOST)
        .with_test_time(AT_MOST)
        .with_type::<(Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>)>()
        .for_each(|(header, path, query, body)| {
            let value = pieces(&OF_HEADERS, header);
            let (path, query) = (pieces(&OF_URLS, path), pieces(&OF_URLS, query));
            let (path, query) = (String::from_utf8_lossy(&path), String::from_utf8_lossy(&query));
            if let Ok(text) = std::str::from_utf8(&value) {
                takes_apart(text);
            }
            let Ok(value) = HeaderValue::from_bytes(&value) else { return };
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("callsweep.example"));
            headers.insert(CONTENT_TYPE, value.clone());
            headers.insert(AUTHORIZATION, value);
            let request = WireRequest { method: "POST", path: &path, query: Some(&query), headers: &headers, body };
            assert!(keys.verify(request, Origin::default(), now).is_err(), "let in without a signature");

            let names = "content-type;host";
            for candidate in canonical_requests(request, &SignedHeaders::parse(names, 2).unwrap()).unwrap() {
                assert!(candidate.starts_with(&format!("POST\n{path}\n")));
                let mut lines = candidate.rsplit('\n');
                assert!(lines.next().unwrap().bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
                assert_eq!(lines.next(), Some("host:callsweep.example"));
            }
            let signed = sign(request, KEY.0, &KEY.1.into(), NOW, names).unwrap();
            let mut headers = headers.clone();
            headers.insert(AUTHORIZATION, signed.authorization.parse().unwrap());
            let request = WireRequest { headers: &headers, ..request };
            assert!(keys.verify(request, Origin::default(), now).is_ok(), "not let in with a signature");
            let longer = [body.as_slice(), b" "].concat();
            assert!(
                keys.verify(WireRequest { body: &longer, ..request }, Origin::default(), now).is_err(),
                "let in with another body"
            );
        });
}

/// What is taken apart is all there, and each part is of its form.
fn takes_apart(text: &str) {
    let Ok(authorization) = Authorization::parse(text, 32) else { return };
    let Authorization { prefix, access_key, signed_headers, signature, .. } = authorization;
    assert_eq!(format!("{prefix}/{signature}"), text);
    let SignedHeaders { text, names } = signed_headers;
    assert!(prefix.starts_with(&format!("auth-v2/{access_key}/")) && prefix.ends_with(&format!("/{text}")));
    assert!(names.contains(&"host") && text.split(';').all(|name| names.contains(&name)));
    assert!(!access_key.is_empty() && !signature.is_empty());
}

const OF_BODIES: [&str; 44] = [
    "\"sessionId\"",
    "\"called\"",
    "\"customField\"",
    "\"recycleTime\"",
    "\"recycleType\"",
    "\"archiveHistory\"",
    "\"call\\u0065d\"",
    "\"x\"",
    "null",
    "0",
    "1",
    "-0",
    "1.0",
    "1e999",
    "true",
    "\"\"",
    "\"1\"",
    "\"2\"",
    "\"13800*#\"",
    "\"2020-12-04 10:00:00\"",
    "\"2021-02-29 10:00:00\"",
    "\"推荐\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\"\\u0000\"",
    "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    " ",
    "\n",
    "\u{feff}",
    "{}",
    "[]",
    "[[[[[[[[[[[[[[[[",
    "]]]]]]]]]]]]]]]]",
    "\"",
    "\\",
    "\u{7f}",
    "\"\u{85}\"",
    "\"\\n\"",
];

/// An object of members that are more or less right, with something in its middle now and then.
fn body((members, noise, place): &(Vec<(u8, u8)>, Vec<u8>, u8)) -> Vec<u8> {
    let of = |choice: u8, among: &[&'static str]| among[usize::from(choice) % among.len()];
    // Names stand at the front of the pieces; values behind them.
    let member = |(name, value): &(u8, u8)| format!("{}:{}", of(*name, &OF_BODIES[..8]), of(*value, &OF_BODIES[8..26]));
    let members: Vec<String> = members.iter().take(8).map(member).collect();
    let mut body = format!("{{{}}}", members.join(",")).into_bytes();
    if *place < 128 {
        let place = usize::from(*place) % (body.len() + 1);
        body.splice(place..place, pieces(&OF_BODIES, noise));
    }
    body
}

#[test]
fn the_body() {
    bolero::check!()
        .with_iterations(IN_A_TEST_RUN)
        .with_test_time(AT_MOST)
        .with_test_time(AT_MOST)
        .with_type::<(Vec<(u8, u8)>, Vec<u8>, u8)>()
        .for_each(|input| {
            let (_, noise, _) = input;
            for body in [body(input), pieces(&OF_BODIES, noise), noise.clone()] {
                match DeleteCall::parse(&body) {
                    Ok(call) => says_the_same(&call, &body),
                    Err(refused) => is_answered(refused, &body),
                }
            }
        });
}

/// Another parser reads the same, and it is within the limits of the page.
fn says_the_same(call: &DeleteCall, body: &[u8]) {
    let members: Map<String, Value> = serde_json::from_slice(body).expect("it is a JSON object");
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let criteria = &call.criteria;
    assert_eq!(criteria.session_id().map(SessionId::as_str), text("sessionId"));
    assert_eq!(criteria.called().map(Called::as_str), text("called"));
    assert_eq!(criteria.custom_field().map(CustomField::as_str), text("customField"));
    assert_eq!(criteria.recycle().map(|recycle| recycle.recycle_type.as_str()), text("recycleType"));
    assert_eq!(criteria.recycle().is_some(), text("recycleTime").is_some());
    assert_eq!(call.archive_history, members.get("archiveHistory") == Some(&json!(1)));
    let within = |name, max| text(name).is_none_or(|text| (1..=max).contains(&text.chars().count()));
    assert!(within("sessionId", 32) && within("called", 24) && within("customField", 200));
    assert!(["sessionId", "called", "customField", "recycleTime"].iter().any(|name| text(name).is_some()));
}

fn is_answered(refused: InvalidParameter, body: &[u8]) {
    if matches!(refused.problem, Problem::NotJson(_)) && body.iter().filter(|b| b"[{".contains(b)).count() < 100 {
        assert!(serde_json::from_slice::<Value>(body).is_err(), "it is JSON: {refused}");
    }
    let answer = Answer::from(refused);
    for locale in [Locale::EnUs, Locale::ZhCn] {
        let members: Map<String, Value> = serde_json::from_slice(&answer.body(locale)).expect("the answer is JSON");
        assert_eq!((members.len(), &members["successCount"]), (5, &json!(0)));
    }
}
