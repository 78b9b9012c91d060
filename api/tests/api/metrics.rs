//! What `/metrics` tells after requests of each kind.

use std::fmt::Write as _;

use callsweep_testkit::on_each_backend;

use crate::http;
use crate::server::{Call, TestServer, path};

on_each_backend! {
    fn requests_are_counted_by_what_came_of_them(db) {
        let server = TestServer::start(db);
        server.add(&[server.number("1"), server.number("2"), server.number("3")]);
        server.delete(r#"{"sessionId":"1"}"#);
        server.delete(r#"{"customField":"batch","archiveHistory":1}"#);
        server.send(&Call::new("{"));
        server.send(&Call::new("{}").unsigned());
        server.send(&Call::new("{}").path("/13800138000"));
        let route = path("{vdnId}", "{campaignId}");
        let mut wanted = String::new();
        for (status, code, count) in [(200, "0200000", 2), (200, "02000008", 1), (401, "0200001", 1)] {
            writeln!(wanted, "http_requests_total{{route=\"{route}\",status=\"{status}\",code=\"{code}\"}} {count}").unwrap();
        }
        wanted += "http_requests_total{route=\"none\",status=\"404\",code=\"0200001\"} 1\n";
        wanted += &format!("http_request_duration_seconds_count{{route=\"{route}\"}} 4\n");
        wanted += "http_requests_in_flight 0\nnumbers_deleted_total 3\nnumbers_archived_total 2\n";
        wanted += "auth_failures_total{reason=\"missing\"} 1\nanswers_replayed_total 0\npool_waiting 0\n";
        let told = http::get(server.ops_address, "/metrics");
        assert!(told.header("content-type").unwrap().starts_with("application/openmetrics-text"));
        for line in wanted.lines() {
            assert!(told.body.contains(&format!("\ncallsweep_{line}\n")), "{line} is not in {}", told.body);
        }
        assert!(told.body.ends_with("# EOF\n"));
        assert!(!told.body.contains("13800138000"));
    }
}
