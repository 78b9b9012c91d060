//! The vectors of the vendor's own client, byte for byte, and sent to the server as they are.

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use callsweep_api::auth::authorization::SignedHeaders;
use callsweep_api::auth::canonical::{WireRequest, canonical_requests, signature, signing_key};
use callsweep_core::number::CustomField;
use callsweep_testkit::on_each_backend;
use serde::Deserialize;
use std::collections::BTreeMap;

use crate::http;
use crate::server::TestServer;

#[derive(Deserialize)]
struct Vectors {
    access_key: String,
    secret_key: String,
    #[allow(clippy::struct_field_names, reason = "the name in the file")]
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    method: String,
    uri: String,
    headers: BTreeMap<String, String>,
    body: String,
    signing_key: Option<String>,
    canonical_request: Option<String>,
    authorization: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("auth-v2-vectors.json")).unwrap()
}

#[test]
fn our_signatures_are_the_vendor_s() {
    let Vectors { access_key, secret_key, vectors } = vectors();
    assert_eq!(vectors.len(), 4);
    for vector in &vectors {
        let headers: HeaderMap = vector
            .headers
            .iter()
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect();
        let request = WireRequest {
            method: &vector.method,
            path: &vector.uri,
            query: None,
            headers: &headers,
            body: vector.body.as_bytes(),
        };
        let (prefix, expected_signature) = vector.authorization.rsplit_once('/').unwrap();
        assert!(prefix.starts_with(&format!("auth-v2/{access_key}/")), "{}", vector.name);
        let signed_headers = prefix.rsplit('/').next().unwrap();
        let [absent_line, empty_line] =
            canonical_requests(request, &SignedHeaders::parse(signed_headers, 32).unwrap()).unwrap();
        let signing_key = signing_key(&secret_key, prefix);
        if let Some(expected) = &vector.signing_key {
            assert_eq!(&signing_key, expected, "{}", vector.name);
        }
        if let Some(expected) = &vector.canonical_request {
            assert_eq!(&absent_line, expected, "{}", vector.name);
        }
        let signed = if vector.name.starts_with("empty query line") { empty_line } else { absent_line };
        assert_eq!(signature(&signing_key, &signed), expected_signature, "{}", vector.name);
    }
}

on_each_backend! {
    fn the_server_takes_the_vendor_s_calls(db) {
        let server = TestServer::start(db);
        for vector in vectors().vectors {
            let mut number = server.number("1");
            if vector.body.contains("customField") {
                number.custom_field = Some(CustomField::parse("推荐 a~b").unwrap());
            }
            server.add(&[number]);
            let mut request = format!("{} {} HTTP/1.1\r\n", vector.method, vector.uri);
            for (name, value) in &vector.headers {
                request += &format!("{name}: {value}\r\n");
            }
            if !vector.headers.contains_key("content-length") {
                request += &format!("content-length: {}\r\n", vector.body.len());
            }
            if !vector.headers.contains_key("content-type") {
                request += "content-type: application/json; charset=UTF-8\r\n";
            }
            request += &format!("authorization: {}\r\nconnection: close\r\n\r\n{}", vector.authorization, vector.body);
            let response = http::exchange(server.address, request.as_bytes());
            assert_eq!(response.status, 200, "{}: {response:?}", vector.name);
            assert_eq!(response.members().count, 1, "{}", vector.name);
        }
        assert_eq!(server.count(), 0);
    }
}
