//! auth-v2 beyond the vectors (contract, section 4), and who may delete where.

use callsweep_testkit::TestDatabase;
use callsweep_testkit::on_each_backend;

use crate::server::{CAMPAIGN, Call, KEY, LIMITED_KEY, TestServer};

const NOTHING: &str = r#"{"sessionId":"nobody"}"#;

fn call() -> Call {
    Call::new(NOTHING)
}

fn signed_over(headers: &str) -> Call {
    call().sign_with(|signer| signer.signed_headers = headers.to_owned())
}

fn signed_at(timestamp: &str) -> Call {
    call().sign_with(|signer| signer.timestamp = timestamp.to_owned())
}

/// A copy of the call that carries the signature of another.
fn with_signature_of(call: Call, other: &Call) -> Call {
    call.unsigned().header("Authorization", &other.authorization().unwrap())
}

fn accepted() -> Vec<(&'static str, Call)> {
    vec![
        ("host alone", signed_over("host")),
        ("names not sorted", signed_over("host;content-type")),
        ("a name twice", signed_over("host;content-type;host")),
        ("accept-encoding stands before accept", {
            signed_over("accept;accept-encoding;host").header("Accept", "*/*").header("Accept-Encoding", "gzip")
        }),
        ("a value in white space", signed_over("host;x-a").header("X-A", " \t a b \t ")),
        ("an empty value", signed_over("host;x-a").header("X-A", "")),
        ("a value that is not ASCII", signed_over("host;x-a").header("X-A", "推荐")),
        ("a header twice that is not signed", call().header("X-A", "1").header("X-A", "2")),
        ("the empty line", call().sign_with(|signer| signer.query_line = Some(String::new()))),
        ("an empty query", call().query("", None)),
        ("an empty query and the empty line", call().query("", Some(""))),
        ("a query, sorted", call().query("b=2&a=1", Some("a=1&b=2"))),
        ("a query, sorted as whole pairs", call().query("a=1&a-b=1", Some("a-b=1&a=1"))),
        ("a query with a name twice", call().query("a=2&a=1", Some("a=1&a=2"))),
        ("a query of a name alone", call().query("a", Some("a="))),
        ("a query, signed before it was encoded", call().query("a=%E6%8E%A8%2a", Some("a=%E6%8E%A8%2A"))),
        ("a query, signed as written", call().query("a=%2a", Some("a=%252a"))),
        ("another query than criteria", call().query("sessionId=1", Some("sessionId=1"))),
        ("the path as received", call().to("%31", "%33")),
        ("milliseconds", signed_at("2024-10-31T14:06:52.999Z")),
        ("15 minutes old", signed_at("2024-10-31T13:51:52Z")),
        ("15 minutes ahead", signed_at("2024-10-31T14:21:52.000Z")),
        ("a body in chunks", call().chunked()),
        ("a key with a list, in it", call().by(LIMITED_KEY)),
        ("a key with a list, leading zeros", call().to("01", CAMPAIGN).by(LIMITED_KEY)),
    ]
}

fn refused() -> Vec<(&'static str, Call)> {
    let altered = |from: &str, to: &str| {
        let value = call().authorization().unwrap();
        assert!(value.contains(from));
        call().unsigned().header("Authorization", &value.replacen(from, to, 1))
    };
    let whole = call().authorization().unwrap();
    vec![
        ("no header", call().unsigned()),
        ("the header twice", call().header("Authorization", &whole)),
        ("empty", call().unsigned().header("Authorization", "")),
        ("a scheme word", altered("auth-v2/", "C2 auth-v2/")),
        ("another version", altered("auth-v2/", "auth-v1/")),
        ("a part more", altered("/content-type", "/x/content-type")),
        ("a signature in upper case", {
            let (prefix, signature) = whole.rsplit_once('/').unwrap();
            call().unsigned().header("Authorization", &format!("{prefix}/{}", signature.to_uppercase()))
        }),
        ("a signature cut short", call().unsigned().header("Authorization", &whole[..whole.len() - 1])),
        ("no signature", call().unsigned().header("Authorization", whole.rsplit_once('/').unwrap().0)),
        ("an unknown key", call().by(("nobody", KEY.1))),
        ("another secret", call().by((KEY.0, "wrong"))),
        ("another key's secret", call().by((KEY.0, LIMITED_KEY.1))),
        ("without host", signed_over("content-type")),
        ("a name in upper case", signed_over("Host")),
        ("no names", signed_over("")),
        ("a header that is not there", signed_over("host;x-a")),
        ("a signed header twice", signed_over("host;x-a").header("X-A", "1").header("X-A", "1")),
        ("a changed header", with_signature_of(call().content_type("application/json"), &call())),
        ("a changed body", with_signature_of(Call::new(r#"{"sessionId":"other"}"#), &call())),
        ("white space more in the body", with_signature_of(Call::new(format!("{NOTHING} ")), &call())),
        ("a changed path", with_signature_of(call().to(1, "03"), &call())),
        ("a query that was not signed", with_signature_of(call().query("a=1", None), &call())),
        ("a signed query that is not there", call().sign_with(|signer| signer.query_line = Some("a=1".to_owned()))),
        ("more than 15 minutes old", signed_at("2024-10-31T13:51:51.999Z")),
        ("more than 15 minutes ahead", signed_at("2024-10-31T14:21:52.001Z")),
        ("a time without zone", signed_at("2024-10-31T14:06:52")),
        ("a time with an offset", signed_at("2024-10-31T14:06:52+00:00")),
        ("a short fraction", signed_at("2024-10-31T14:06:52.1Z")),
        ("no real day", signed_at("2024-10-32T14:06:52Z")),
    ]
}

fn check(db: &TestDatabase) {
    let server = TestServer::start(db);
    let mut wrong = Vec::new();
    for (name, call) in accepted() {
        let response = server.send(&call);
        if response.status != 200 || response.members().code != "0200000" {
            wrong.push(format!("{name}: refused with {response:?}"));
        }
    }
    let mut bodies = Vec::new();
    for (name, call) in refused() {
        let response = server.send(&call);
        if response.status != 401 {
            wrong.push(format!("{name}: answered with {response:?}"));
        }
        assert_eq!(response.header("www-authenticate"), Some("auth-v2"), "{name}");
        bodies.push(response.body);
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "a 401 says which part was wrong: {bodies:?}");
}

on_each_backend! {
    fn who_is_let_in(db) {
        check(db);
    }

    fn the_window_is_a_setting(db) {
        let server = TestServer::start_with(db, |settings| settings.api.signature_window_minutes = 1);
        assert_eq!(server.send(&signed_at("2024-10-31T14:05:52Z")).status, 200);
        assert_eq!(server.send(&signed_at("2024-10-31T14:05:51Z")).status, 401);
    }
}
