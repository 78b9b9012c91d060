//! What the log says, and what it must never say.

use std::collections::HashSet;

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

    fn a_401_names_the_address_and_the_claimed_key_and_the_fail2ban_filter_finds_it(db) {
        let dir = tempfile::tempdir().unwrap();
        drop(TestServer::start(db));
        write_settings(dir.path(), db.url(), &key());
        let mut server = Running::start(program(dir.path(), &[]));
        let send = |id: &str, call: Call| http::exchange(server.address, &call.header("X-Request-Id", id).to_bytes()).status;
        let long = "k".repeat(1_000);
        assert_eq!(send("unknown", Call::new("{}").by(("mallory\u{e9}\"", "x"))), 401);
        assert_eq!(send("long", Call::new("{}").by((&long, "x"))), 401);
        assert_eq!(send("none", Call::new("{}").unsigned()), 401);
        assert_eq!(send("found", Call::new("{}").unsigned().path("/")), 404);
        // An id that imitates the fields of a 401.
        assert_eq!(send("\"status\":401,\"client_address\":\"192.0.2.7\"", Call::new("{}").unsigned().path("/")), 404);
        assert_eq!(send("method", Call::new("{}").unsigned().method("M".repeat(60_000).leak())), 405);
        server.terminate();
        assert_eq!(server.wait().code(), Some(0));

        let lines: Vec<serde_json::Value> = server.log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of = |id: &str| lines.iter().find(|line| line["request_id"] == id).unwrap();
        assert_eq!((&of("unknown")["client_address"], &of("unknown")["claimed_key"]), (&"127.0.0.1".into(), &r#"mallory\xc3\xa9\""#.into()));
        assert_eq!(of("long")["claimed_key"], "k".repeat(64) + "…");
        assert_eq!((&of("none")["client_address"], of("none").get("claimed_key")), (&"127.0.0.1".into(), None));
        assert_eq!(of("found").get("client_address"), None);
        assert_eq!(of("method")["method"], "M".repeat(32) + "…");
        assert!(server.log.lines().all(|line| line.len() < 1_000), "{}", server.log);

        let filter = include_str!("../../../docs/operators/fail2ban/callsweep.conf");
        let pattern = filter.lines().find_map(|line| line.strip_prefix("failregex = ")).unwrap();
        let pattern = regex::Regex::new(&pattern.replace("<HOST>", "(?<host>[0-9a-fA-F.:]+)")).unwrap();
        let banned: Vec<_> = server.log.lines().filter_map(|line| Some(pattern.captures(line)?["host"].to_owned())).collect();
        assert_eq!((banned.len(), HashSet::from_iter(banned)), (3, HashSet::from(["127.0.0.1".to_owned()])), "{}", server.log);
    }

    fn requests_go_on_while_nobody_reads_the_log(db) {
        let dir = tempfile::tempdir().unwrap();
        drop(TestServer::start(db));
        write_settings(dir.path(), db.url(), &format!("log_buffer_lines = 10\n{}", key()));
        let server = Running::start(program(dir.path(), &[]));
        // A pipe holds 64 KiB, which is some 200 lines; the buffer holds 10.
        for _ in 0..600 {
            assert_eq!(http::exchange(server.address, &Call::new("{}").unsigned().to_bytes()).status, 401);
        }
        assert_eq!(http::get(server.ops_address, "/healthz").status, 200);
        assert!(http::metric(server.ops_address, "callsweep_log_lines_dropped_total") > 0);
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
