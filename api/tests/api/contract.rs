//! Every code that a call can cause, as a table (contract, section 2). Nothing in it may delete a number.

use callsweep_testkit::on_each_backend;

use crate::server::{CAMPAIGN, Call, EXECUTING, LIMITED_KEY, TestServer};

/// What a case sends, and the status, the code and a part of the description that it must get.
pub(crate) type Case = (&'static str, Call, u16, &'static str, &'static str);

/// Sends every case and tells all that went wrong at once.
pub(crate) fn check_refusals(server: &TestServer, cases: Vec<Case>) {
    server.add(&[server.number("kept")]);
    let mut wrong = Vec::new();
    for (name, call, status, code, part) in cases {
        let response = server.send(&call);
        let members = response.members();
        let is_right = response.status == status && members.code == code && members.desc.contains(part);
        if !is_right || members.count != 0 || server.count() != 1 {
            wrong.push(format!("{name}: expected {status} {code} …{part}…, got {} {members:?}", response.status));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn body(name: &'static str, body: impl AsRef<[u8]>, code: &'static str, part: &'static str) -> Case {
    (name, Call::new(body), 200, code, part)
}

fn to(name: &'static str, vdn: &str, campaign: &str, code: &'static str, part: &'static str) -> Case {
    (name, Call::new(r#"{"called":"1"}"#).to(vdn, campaign), 200, code, part)
}

fn http(name: &'static str, call: Call, status: u16, part: &'static str) -> Case {
    (name, call, status, "0200001", part)
}

fn called() -> Call {
    Call::new(r#"{"called":"1"}"#)
}

fn long(member: &str, length: usize) -> String {
    format!(r#"{{"{member}":"{}"}}"#, "字".repeat(length))
}

on_each_backend! {
    fn http_itself(db) {
        let server = TestServer::start(db);
        let over = "x".repeat(16 * 1024 + 1);
        let path = crate::server::path(1, CAMPAIGN);
        check_refusals(&server, vec![
            http("another path", called().path("/"), 404, "path: "),
            http("a trailing slash", called().path(format!("{path}/")), 404, "path: "),
            http("an encoded slash", called().path(path.replace("/delete", "%2Fdelete")), 404, "path: "),
            http("an encoded letter of the route", called().path(path.replace("rest", "%72est")), 404, "path: "),
            http("no vdnId", called().to("", CAMPAIGN), 404, "path: "),
            http("GET", called().method("GET"), 405, "method: "),
            http("PUT", called().method("PUT"), 405, "method: "),
            http("DELETE", called().method("DELETE"), 405, "method: "),
            http("OPTIONS", called().method("OPTIONS"), 405, "method: "),
            http("a method of its own", called().method("PURGE"), 405, "method: "),
            http("a method in lower case", called().method("post"), 405, "method: "),
            http("no content type", called().without("content-type"), 415, "Content-Type: "),
            http("text", called().content_type("text/plain"), 415, "Content-Type: "),
            http("another charset", called().content_type("application/json; charset=GBK"), 415, "Content-Type: "),
            http("two content types", called().header("Content-Type", "application/json"), 415, "Content-Type: "),
            http("too large as announced", Call::new(&over).announce(over.len()), 413, "body: "),
            http("too large while read", Call::new(&over).chunked(), 413, "body: "),
            http("not signed", called().unsigned(), 401, "Authorization: "),
            http("a VDN of others", called().to(2, CAMPAIGN).by(LIMITED_KEY), 403, "vdnId: "),
            http("no VDN, with a list", called().to("x", CAMPAIGN).by(LIMITED_KEY), 403, "vdnId: "),
            http("VDN 10000, with a list", called().to(10_000, CAMPAIGN).by(LIMITED_KEY), 403, "vdnId: "),
        ]);
    }

    fn path_numbers(db) {
        let server = TestServer::start(db);
        check_refusals(&server, vec![
            to("vdnId a word", "x", "3", "02000006", "vdnId: "),
            to("vdnId with a fraction", "1.0", "3", "02000006", "vdnId: "),
            to("vdnId with a plus", "+1", "3", "02000006", "vdnId: "),
            to("vdnId with an encoded space", "1%20", "3", "02000006", "vdnId: "),
            to("vdnId with an encoded slash", "1%2F1", "3", "02000006", "vdnId: "),
            to("vdnId half encoded", "1%", "3", "02000006", "vdnId: "),
            to("vdnId not UTF-8", "%FF", "3", "02000006", "vdnId: "),
            to("vdnId in full-width digits", "%EF%BC%91", "3", "02000006", "vdnId: "),
            to("vdnId 0", "0", "3", "02000007", "vdnId: "),
            to("vdnId 10000", "10000", "3", "02000007", "vdnId: "),
            to("vdnId negative", "-1", "3", "02000007", "vdnId: "),
            to("vdnId negative and encoded", "%2D1", "3", "02000007", "vdnId: "),
            to("vdnId beyond 64 bits", "99999999999999999999", "3", "02000007", "vdnId: "),
            to("campaignId a word", "1", "x", "02000006", "campaignId: "),
            to("campaignId with an exponent", "1", "3e0", "02000006", "campaignId: "),
            to("campaignId 0", "1", "0", "02000007", "campaignId: "),
            to("campaignId negative", "1", "-3", "02000007", "campaignId: "),
            to("campaignId beyond 64 bits", "1", "9223372036854775808", "02000007", "campaignId: "),
            to("the largest campaignId", "1", "9223372036854775807", "0200007", "campaignId: "),
            to("the largest vdnId", "9999", "3", "0200007", "campaignId: "),
            to("leading zeros", "0001", "00099", "0200007", "campaign 99 in VDN 1"),
            to("encoded digits", "%31", "%39%39", "0200007", "campaign 99 in VDN 1"),
            to("a campaign of another VDN", "2", "3", "0200007", "campaign 3 in VDN 2"),
        ]);
    }

    fn what_is_no_json(db) {
        let server = TestServer::start(db);
        check_refusals(&server, vec![
            body("nothing", "", "02000001", "body: "),
            body("white space", " \t\r\n", "02000001", "body: "),
            body("a word", "sessionId", "02000008", "body: "),
            body("cut short", r#"{"called":"1""#, "02000008", "body: "),
            body("two values", r#"{"called":"1"}{}"#, "02000008", "body: "),
            body("a comma too many", r#"{"called":"1",}"#, "02000008", "body: "),
            body("single quotes", "{'called':'1'}", "02000008", "body: "),
            body("a byte-order mark", "\u{feff}{\"called\":\"1\"}", "02000008", "byte-order mark"),
            body("UTF-16", [0xff, 0xfe, b'{', 0, b'}', 0], "02000008", "UTF-8"),
            body("not UTF-8", b"{\"customField\":\"\xe6\x8e\"}", "02000008", "UTF-8"),
            body("a surrogate in UTF-8", b"{\"customField\":\"\xed\xa0\x80\"}", "02000008", "UTF-8"),
            body("half a surrogate pair", r#"{"customField":"\ud83d"}"#, "02000008", "body: "),
            body("half a pair in a stranger's value", r#"{"x":["\udc00"]}"#, "02000008", "body: "),
            body("half a pair in a name", r#"{"\ud83d":1}"#, "02000008", "body: "),
            body("a raw control character", "{\"customField\":\"a\nb\"}", "02000008", "body: "),
            body("NaN", r#"{"archiveHistory":NaN}"#, "02000008", "body: "),
            body("a leading zero", r#"{"archiveHistory":01}"#, "02000008", "body: "),
            body("too deep", "[".repeat(8_000) + &"]".repeat(8_000), "02000008", "deep"),
            body("too deep in a member", format!(r#"{{"called":{}{}}}"#, "[".repeat(500), "]".repeat(500)), "02000008", "deep"),
        ]);
    }

    fn shape_and_members(db) {
        let server = TestServer::start(db);
        check_refusals(&server, vec![
            body("an array", "[]", "02000006", "body: "),
            body("null", "null", "02000006", "body: "),
            body("a string", r#""called""#, "02000006", "body: "),
            body("a number beyond all types", "1e999", "02000006", "body: "),
            body("no member", "{}", "02000001", "must not be empty"),
            body("archiveHistory alone", r#"{"archiveHistory":1}"#, "02000001", "must not be empty"),
            body("nulls alone", r#"{"called":null,"recycleTime":null}"#, "02000001", "must not be empty"),
            body("an unknown member", r#"{"called":"1","callee":"2"}"#, "0200001", "callee: "),
            body("an unknown null", r#"{"called":"1","callee":null}"#, "0200001", "callee: "),
            body("another case", r#"{"Called":"1"}"#, "0200001", "Called: "),
            body("a member twice", r#"{"called":"1","sessionId":"2","called":"1"}"#, "0200001", "called: is given more"),
            body("a null and a value", r#"{"called":null,"called":"1"}"#, "0200001", "called: is given more"),
            body("seven", r#"{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1}"#, "02000011", "more than 6"),
            body("seven nulls of one name", format!("{{{}}}", [r#""called":null"#; 7].join(",")), "02000011", "more than 6"),
            body("sessionId a number", r#"{"sessionId":1}"#, "02000006", "sessionId: "),
            body("sessionId true", r#"{"sessionId":true}"#, "02000006", "sessionId: "),
            body("sessionId an object", r#"{"sessionId":{}}"#, "02000006", "sessionId: "),
            body("sessionId empty", r#"{"sessionId":""}"#, "02000001", "sessionId: "),
            body("sessionId too long", long("sessionId", 33), "02000003", "sessionId: is longer than 32"),
            body("sessionId with NUL", r#"{"sessionId":"a\u0000"}"#, "02000002", "sessionId: "),
            body("sessionId with DEL", r#"{"sessionId":"a\u007f"}"#, "02000002", "sessionId: "),
            body("called a list", r#"{"called":["1"]}"#, "02000006", "called: "),
            body("called empty", r#"{"called":""}"#, "02000001", "called: "),
            body("called too long", format!(r#"{{"called":"{}"}}"#, "1".repeat(25)), "02000003", "called: "),
            body("called with a plus", r#"{"called":"+1"}"#, "02000002", "called: "),
            body("called with a space", r#"{"called":"1 "}"#, "02000002", "called: "),
            body("called in full-width digits", r#"{"called":"１"}"#, "02000002", "called: "),
            body("customField a number", r#"{"customField":1.5}"#, "02000006", "customField: "),
            body("customField empty", r#"{"customField":""}"#, "02000001", "customField: "),
            body("customField too long", long("customField", 201), "02000003", "customField: is longer than 200"),
            body("customField with a tab", r#"{"customField":"a\tb"}"#, "02000002", "customField: "),
            body("recycleTime a number", r#"{"recycleTime":20201204}"#, "02000006", "recycleTime: "),
            body("recycleTime empty", r#"{"recycleTime":""}"#, "02000001", "recycleTime: "),
            body("recycleTime with a line end", r#"{"recycleTime":"2020-12-04 17:57:00\n"}"#, "02000002", "recycleTime: "),
            body("recycleTime no leap year", r#"{"recycleTime":"2021-02-29 00:00:00","recycleType":"1"}"#, "0200030", "recycleTime: "),
            body("recycleTime 24:00:00", r#"{"recycleTime":"2020-12-04 24:00:00","recycleType":"1"}"#, "0200030", "recycleTime: "),
            body("recycleTime second 60", r#"{"recycleTime":"2020-12-04 23:59:60","recycleType":"1"}"#, "0200030", "recycleTime: "),
            body("recycleTime in spaces", r#"{"recycleTime":" 2020-12-04 17:57:00","recycleType":"1"}"#, "0200030", "recycleTime: "),
            body("recycleTime in full-width digits", r#"{"recycleTime":"２０２０-12-04 17:57:00","recycleType":"1"}"#, "0200030", "recycleTime: "),
            body("recycleType a number", r#"{"recycleTime":"2020-12-04 17:57:00","recycleType":1}"#, "02000006", "recycleType: "),
            body("recycleType empty", r#"{"recycleTime":"2020-12-04 17:57:00","recycleType":""}"#, "02000001", "recycleType: "),
            body("recycleType with NUL", r#"{"recycleTime":"2020-12-04 17:57:00","recycleType":"\u0000"}"#, "02000002", "recycleType: "),
            body("recycleType 4", r#"{"recycleTime":"2020-12-04 17:57:00","recycleType":"4"}"#, "02000007", "recycleType: "),
            body("recycleType 01", r#"{"recycleTime":"2020-12-04 17:57:00","recycleType":"01"}"#, "02000007", "recycleType: "),
            body("archiveHistory a string", r#"{"called":"1","archiveHistory":"1"}"#, "02000006", "archiveHistory: "),
            body("archiveHistory 1.0", r#"{"called":"1","archiveHistory":1.0}"#, "02000006", "archiveHistory: "),
            body("archiveHistory 1e0", r#"{"called":"1","archiveHistory":1e0}"#, "02000006", "archiveHistory: "),
            body("archiveHistory true", r#"{"called":"1","archiveHistory":true}"#, "02000006", "archiveHistory: "),
            body("archiveHistory 2", r#"{"called":"1","archiveHistory":2}"#, "02000007", "archiveHistory: "),
            body("archiveHistory -1", r#"{"called":"1","archiveHistory":-1}"#, "02000007", "archiveHistory: "),
            body("archiveHistory beyond 64 bits", r#"{"called":"1","archiveHistory":99999999999999999999}"#, "02000007", "archiveHistory: "),
            body("recycleType alone", r#"{"called":"1","recycleType":"1"}"#, "02000009", "recycleType: must be given together with recycleTime"),
            body("recycleTime alone", r#"{"called":"1","recycleTime":"2020-12-04 17:57:00"}"#, "02000009", "recycleTime: must be given together with recycleType"),
            body("recycleTime with null", r#"{"recycleType":null,"recycleTime":"2020-12-04 17:57:00"}"#, "02000009", "recycleTime: "),
        ]);
    }

    fn campaigns_and_their_state(db) {
        let server = TestServer::start(db);
        check_refusals(&server, vec![
            to("no such campaign", "1", "99", "0200007", "campaign 99 in VDN 1"),
            (
                "an executing campaign, whatever matches",
                called().to(1, EXECUTING),
                200, "0200028", "The number cannot be deleted in the current state. campaignId: the campaign is executing",
            ),
            (
                "in Chinese",
                called().to(1, EXECUTING).header("locale", "zh_CN"),
                200, "0200028", "当前状态下不允许删除号码。campaignId：外呼活动正在执行",
            ),
            ("in Chinese, a parameter", Call::new("{}").header("locale", "zh_CN"), 200, "02000001", "参数为空。"),
            (
                "in Chinese, HTTP",
                called().path("/").header("locale", "zh_CN"),
                404, "0200001", "参数错误，具体错误信息请参见resultDesc。path：",
            ),
            ("in English by name", Call::new("{}").header("locale", "en_US"), 200, "02000001", "Empty parameter. "),
            ("another language", Call::new("{}").header("locale", "fr_FR"), 200, "02000001", "Empty parameter. "),
        ]);
    }
}
