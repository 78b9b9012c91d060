//! Two failures in one call: the first in the contract's order wins. Each case pairs neighbours of that order.

use callsweep_testkit::on_each_backend;

use crate::contract::check_refusals;
use crate::server::{CAMPAIGN, Call, EXECUTING, LIMITED_KEY, TestServer};

on_each_backend! {
    fn of_the_steps(db) {
        let server = TestServer::start(db);
        let over = "{".repeat(16 * 1024 + 1);
        check_refusals(&server, vec![
            ("route, method", Call::new("{}").path("/x").method("GET"), 404, "0200001", "path: "),
            ("method, content type", Call::new("{}").method("GET").without("content-type"), 405, "0200001", "method: "),
            ("content type, size", Call::new(&over).content_type("text/plain").announce(over.len()), 415, "0200001", "Content-Type: "),
            ("size, authentication", Call::new(&over).unsigned().announce(over.len()), 413, "0200001", "body: "),
            ("authentication, right", Call::new("{").to(2, CAMPAIGN).unsigned(), 401, "0200001", "Authorization: "),
            ("authentication, Idempotency-Key", Call::new("{").unsigned().header("Idempotency-Key", "x"), 401, "0200001", "Authorization: "),
            ("unsigned Idempotency-Key, right", Call::new("{").to(2, CAMPAIGN).by(LIMITED_KEY).header("Idempotency-Key", "x"), 400, "0200001", "Idempotency-Key: "),
            ("form of Idempotency-Key, right", Call::new("{").to(2, CAMPAIGN).by(LIMITED_KEY).signed_header("idempotency-key", ""), 400, "0200001", "Idempotency-Key: "),
            ("right, vdnId", Call::new("{").to(0, CAMPAIGN).by(LIMITED_KEY), 403, "0200001", "vdnId: "),
            ("vdnId, campaignId", Call::new("{").to(0, "x"), 200, "02000007", "vdnId: "),
            ("campaignId, JSON", Call::new("{").to(1, "x"), 200, "02000006", "campaignId: "),
            ("JSON, shape", Call::new(r#"["\ud800"]"#), 200, "02000008", "body: "),
            ("JSON, members", Call::new(r#"{"called":1} x"#), 200, "02000008", "body: "),
            ("too many, unknown", Call::new(r#"{"x":1,"called":1,"b":1,"c":1,"d":1,"e":1,"f":1}"#), 200, "02000011", "body: "),
            ("unknown, members", Call::new(r#"{"called":1,"x":1}"#), 200, "0200001", "x: "),
            ("unknown before repeated", Call::new(r#"{"called":1,"x":1,"called":1}"#), 200, "0200001", "x: "),
            ("repeated before unknown", Call::new(r#"{"called":1,"called":1,"x":1}"#), 200, "0200001", "called: "),
            ("members, combination", Call::new(r#"{"recycleType":"1","archiveHistory":"1"}"#), 200, "02000006", "archiveHistory: "),
            ("combination, campaign", Call::new(r#"{"recycleType":"1"}"#).to(1, 99), 200, "02000009", "recycleType: "),
            ("no filter, campaign", Call::new("{}").to(1, 99), 200, "02000001", "must not be empty"),
            ("members, state", Call::new(r#"{"called":"x"}"#).to(1, EXECUTING), 200, "02000002", "called: "),
        ]);
    }

    fn of_the_members_and_within_one(db) {
        let server = TestServer::start(db);
        let case = |name: &'static str, body: &str, code: &'static str, part: &'static str| {
            (name, Call::new(body), 200, code, part)
        };
        check_refusals(&server, vec![
            case("sessionId, called", r#"{"called":1,"sessionId":"\u0000"}"#, "02000002", "sessionId: "),
            case("called, customField", r#"{"customField":1,"called":"x"}"#, "02000002", "called: "),
            case("customField, recycleTime", r#"{"recycleTime":1,"customField":"\u0000"}"#, "02000002", "customField: "),
            case("recycleTime, recycleType", r#"{"recycleType":1,"recycleTime":"x"}"#, "0200030", "recycleTime: "),
            case("recycleType, archiveHistory", r#"{"archiveHistory":true,"recycleType":"4"}"#, "02000007", "recycleType: "),
            case("length, characters", &format!(r#"{{"called":"{}"}}"#, "x".repeat(25)), "02000003", "called: "),
            case("characters, format", r#"{"recycleTime":"x\u0000"}"#, "02000002", "recycleTime: "),
            case("characters, value", r#"{"recycleType":"4\u0000"}"#, "02000002", "recycleType: "),
        ]);
    }
}
