//! What the log says, and what it must never say.

use callsweep_core::clock::Clock;
use callsweep_testkit::on_each_backend;

use crate::http;
use crate::process::{Running, key, program, write_settings};
use crate::server::{Call, KEY, TestServer, path};

const SECRETS: [&str; 4] = ["13800138000", "session-secret", "field-secret", "stranger-secret"];

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

on_each_backend! {
    fn one_line_for_each_request_and_no_secret_in_any(db) {
        let dir = tempfile::tempdir().unwrap();
        drop(TestServer::start(db));
        write_settings(dir.path(), db.url(), &key());
        let mut server = Running::start(program(dir.path(), &["serve"]));
        // The server's clock is the system's, so these are signed now and the refused one in 2024.
        let now = Clock::system().now().format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let body = r#"{"sessionId":"session-secret","called":"13800138000","customField":"field-secret"}"#;
        let signed = |body: &str| Call::new(body).sign_with(|signer| signer.timestamp.clone_from(&now));
        let calls = [
            ("good", signed(body)),
            ("unknown", signed(r#"{"stranger-secret":1}"#)),
            ("late", Call::new(body)),
            ("missing", signed(body).path("/13800138000")),
        ];
        let mut signatures = Vec::new();
        for (id, call) in calls {
            let call = call.header("X-Request-Id", id).header("Traceparent", if id == "good" { TRACE } else { "00-1-1-01" });
            signatures.push(call.authorization().unwrap().rsplit_once('/').unwrap().1.to_owned());
            let mut request = call.head();
            request.extend(call.body());
            assert_eq!(http::exchange(server.address, &request).header("x-request-id"), Some(id));
        }
        server.terminate();
        assert_eq!(server.wait().code(), Some(0));

        for secret in SECRETS.iter().copied().chain([KEY.1]).chain(signatures.iter().map(String::as_str)) {
            assert!(!server.log.contains(secret), "{secret} is in the log:\n{}", server.log);
        }
        let lines: Vec<serde_json::Value> =
            server.log.lines().map(|line| serde_json::from_str(line).expect("every line is JSON")).collect();
        let of = |id: &str, message: &str| {
            let mut found = lines.iter().filter(|line| line["request_id"] == id && line["message"] == message);
            let line = found.next().unwrap_or_else(|| panic!("no {message:?} of {id}:\n{}", server.log));
            assert!(found.next().is_none(), "two lines {message:?} of {id}:\n{}", server.log);
            line
        };
        let good = of("good", "request");
        assert_eq!((&good["status"], &good["code"]), (&200.into(), &"0200000".into()));
        assert_eq!((&good["method"], &good["route"]), (&"POST".into(), &path("{vdnId}", "{campaignId}").into()));
        assert_eq!((&good["access_key"], &good["vdn"], &good["campaign"]), (&KEY.0.into(), &1.into(), &3.into()));
        assert_eq!((&good["matched"], &good["deleted"]), (&0.into(), &0.into()));
        assert!(good["duration_us"].is_u64() && good["run_id"].is_i64());
        assert_eq!(good["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert!(of("unknown", "request").get("trace_id").is_none());
        assert_eq!(of("unknown", "request")["code"], "0200001");
        assert_eq!(of("late", "request")["status"], 401);
        let reason = of("late", "request")["reason"].as_str().unwrap();
        assert!(reason.contains("signature_window_minutes"), "{reason}");
        assert_eq!(of("missing", "request")["route"], "none");
    }

    fn an_id_is_made_for_a_request_without_a_sane_one(db) {
        let server = TestServer::start(db);
        let given = |id: &str| server.send(&Call::new("{}").header("X-Request-Id", id));
        assert_eq!(given("0a-Z~!").header("x-request-id"), Some("0a-Z~!"));
        let made = [given(""), given("a b"), given(&"a".repeat(65)), server.send(&Call::new("{}"))];
        for response in made {
            assert_eq!(response.header("x-request-id").map(str::len), Some(32), "{response:?}");
        }
    }
}
