//! The OpenAPI document: complete, in step with the code and the server, and printed, committed and served alike.

use callsweep_api::openapi;
use callsweep_core::result_code::{Locale, ResultCode};
use callsweep_testkit::on_each_backend;
use serde_json::Value;

use crate::http::{self, Response};
use crate::process::output;
use crate::server::{CAMPAIGN, Call, LIMITED_KEY, TestServer};

/// From the root of the repository, as the tests see it.
fn repository_file(path: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn document() -> Value {
    serde_json::from_str(&openapi::json()).unwrap()
}

fn responses(document: &Value) -> &serde_json::Map<String, Value> {
    document["paths"][callsweep_api::call::ROUTE]["post"]["responses"].as_object().unwrap()
}

#[test]
fn the_committed_document_is_the_code_s() {
    let committed = repository_file("docs/integrators/openapi.json");
    let update = "callsweep-api openapi > docs/integrators/openapi.json";
    assert!(committed == openapi::json(), "the document has changed: {update}");
}

#[test]
fn the_program_prints_it() {
    let printed = output(&std::env::temp_dir(), &["openapi"]);
    assert_eq!(printed.status.code(), Some(0));
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), openapi::json());
}

#[test]
fn every_code_has_an_example_that_carries_it() {
    let document = document();
    let examples = responses(&document)["200"]["content"]["application/json"]["examples"].as_object().unwrap();
    let codes: Vec<&str> = ResultCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(
        document["components"]["schemas"]["Answer"]["properties"]["resultCode"]["enum"],
        serde_json::json!(codes)
    );
    for code in ResultCode::ALL {
        let answer = &examples[code.as_str()]["value"];
        assert_eq!(answer["resultCode"], code.as_str());
        assert_eq!(answer["returnCode"], code.as_str());
        assert!(answer["resultDesc"].as_str().unwrap().starts_with(code.text(Locale::EnUs)), "{answer}");
    }
    assert_eq!(examples.len(), ResultCode::ALL.len());
}

#[test]
fn every_status_has_the_five_members() {
    let document = document();
    let responses = responses(&document);
    let statuses: Vec<&str> = responses.keys().map(String::as_str).collect();
    assert_eq!(
        statuses,
        ["200", "400", "401", "403", "404", "405", "408", "413", "414", "415", "422", "429", "431", "500", "503"]
    );
    for (status, response) in responses {
        let schema = response["content"]["application/json"]["schema"]["$ref"].as_str().unwrap();
        let schema = &document["components"]["schemas"][schema.rsplit('/').next().unwrap()];
        assert_eq!(schema["required"].as_array().unwrap().len(), 5, "{status}");
        assert_eq!(schema["additionalProperties"], false, "{status}");
    }
}

#[test]
fn the_page_of_errors_has_every_code_and_every_status_once() {
    let page = repository_file("docs/integrators/errors.md");
    let first_column = |line: &str| Some(line.strip_prefix("| ")?.split(' ').next()?.to_owned());
    let rows: Vec<String> =
        page.lines().filter_map(first_column).filter(|cell| cell.starts_with(char::is_numeric)).collect();
    let document = document();
    let codes = ResultCode::ALL.iter().map(|code| code.as_str());
    let statuses = responses(&document).keys().map(String::as_str).filter(|status| *status != "200");
    assert_eq!(rows, codes.chain(statuses).collect::<Vec<_>>());
}

on_each_backend! {
    fn the_examples_of_refusals_are_the_server_s_answers(db) {
        let server = TestServer::start(db);
        let call = || Call::new(r#"{"called":"1"}"#);
        let document = document();
        for (status, call) in [
            ("401", call().unsigned()),
            ("403", call().to(2, CAMPAIGN).by(LIMITED_KEY)),
            ("404", call().path("/")),
            ("405", call().method("GET")),
            ("413", call().announce(1_000_000)),
            ("415", call().content_type("text/plain")),
        ] {
            let response = server.send(&call);
            let documented = &responses(&document)[status];
            assert_eq!(response.status.to_string(), status);
            let answer: Value = serde_json::from_str(&response.body).unwrap();
            assert_eq!(documented["content"]["application/json"]["example"], answer);
            for header in documented["headers"].as_object().unwrap().keys() {
                assert!(response.header(&header.to_ascii_lowercase()).is_some(), "{status}: {header}");
            }
        }
    }

    fn the_documentation_is_served_where_the_settings_say_so(db) {
        let server = TestServer::start_with(db, |settings| settings.api.docs = true);
        let get = |path: &str| http::get(server.address, path);
        let served = get("/openapi.json");
        assert_eq!((served.status, served.body), (200, openapi::json()));
        assert_eq!((get("/docs").status, get("/docs").header("location")), (308, Some("docs/")));
        let page = get("/docs/");
        assert_eq!(page.status, 200);
        assert!(page.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'")));
        // Whatever the page names is there, and nothing of it is elsewhere.
        let named = page.body.split(['"', '\'']).filter(|text| [".css", ".js", ".png"].iter().any(|end| text.ends_with(end)));
        let named: Vec<&str> = named.collect();
        assert_eq!(named.len(), 5, "{named:?}");
        for file in named {
            assert_eq!(http::status_of(server.address, &format!("/docs/{file}")), 200, "{file}");
        }
        assert!(!page.body.contains("//"));
        // The rest stays the endpoint's.
        for call in [Call::new("").path("/docs/other"), Call::new("").path("/openapi.json"), Call::new("").path("/docs/")] {
            assert_eq!(server.send(&call).status, 404);
            assert_eq!(server.send(&call).members().code, "0200001");
        }
        assert_eq!(server.delete(r#"{"called":"1"}"#).code, "0200000");
    }

    fn the_documentation_is_off_unless_it_is_asked_for(db) {
        let server = TestServer::start(db);
        for path in ["/openapi.json", "/docs", "/docs/", "/docs/page.js"] {
            let Response { status, .. } = http::get(server.address, path);
            assert_eq!(status, 404, "{path}");
        }
    }
}
