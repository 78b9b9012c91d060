//! What it costs to refuse a request whose signature is not known to be right: strangers can cause that work.

use std::fs;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use callsweep_api::auth::canonical::WireRequest;
use callsweep_api::auth::{Keys, Origin, Refusal};
use callsweep_core::settings::{All, ApiSettings, KeySettings, Vdns};
use chrono::{DateTime, Utc};

use crate::server::{KEY, NOW, path};

/// A request that does not get in.
struct Attack {
    headers: HeaderMap,
    query: String,
    body: Vec<u8>,
}

impl Attack {
    /// With these names as its signed headers, and headers of its own besides host.
    fn new(access_key: &str, names: &str, headers: &[(String, String)]) -> Self {
        let mut all = HeaderMap::new();
        let authorization = format!("auth-v2/{access_key}/{NOW}/{names}/{}", "0".repeat(64));
        let host = [("host".to_owned(), "callsweep.example".to_owned())];
        for (name, value) in host.iter().chain(headers).chain(&[("authorization".to_owned(), authorization)]) {
            all.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        Self { headers: all, query: String::new(), body: br#"{"sessionId":"s123456","archiveHistory":1}"#.to_vec() }
    }

    fn plain(access_key: &str) -> Self {
        Self::new(access_key, "host", &[])
    }

    fn refuse(&self, keys: &Keys, now: DateTime<Utc>) -> Refusal {
        let request = WireRequest {
            method: "POST",
            path: &path(1, 3),
            query: Some(&self.query),
            headers: &self.headers,
            body: &self.body,
        };
        keys.verify(request, Origin::default(), now).expect_err("it is not signed")
    }

    /// Nanoseconds of CPU time that one refusal takes: the least of several batches.
    fn cost(&self, keys: &Keys) -> u64 {
        const CALLS: u64 = 5;
        let now = callsweep_api::auth::authorization::parse_timestamp(NOW).unwrap();
        let batch = || {
            let before = cpu_nanoseconds();
            (0..CALLS).for_each(|_| drop(std::hint::black_box(self.refuse(keys, now))));
            (cpu_nanoseconds() - before) / CALLS
        };
        (0..7).map(|_| batch()).min().unwrap()
    }
}

/// What this thread has used so far, without the time that it waited.
fn cpu_nanoseconds() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells the CPU time of a thread");
    stat.split(' ').next().unwrap().parse().unwrap()
}

fn keys() -> Keys {
    let keys = vec![KeySettings::new(KEY.0, KEY.1, Vdns::All(All::All))];
    Keys::new(&ApiSettings { keys, ..ApiSettings::default() }).unwrap()
}

#[test]
fn a_list_of_thousands_of_signed_headers_costs_no_more_than_a_plain_refusal() {
    let keys = keys();
    let plain = Attack::plain(KEY.0).cost(&keys);
    let long_value = [("a".to_owned(), "/".repeat(7_600))];
    let repeated = Attack::new("x", &format!("host{}", ";a".repeat(3_900)), &long_value);
    let many: Vec<(String, String)> = (0..2_000).map(|n| (format!("x{n:04}"), "/".to_owned())).collect();
    let names: String = many.iter().map(|(name, _)| format!(";{name}")).collect();
    let distinct = Attack::new("x", &format!("host{names}"), &many);
    let absent = Attack::new("x", &format!("host;{}", "y".repeat(15_000)), &[]);
    for (attack, what) in [(repeated, "repeated"), (distinct, "distinct"), (absent, "absent")] {
        let cost = attack.cost(&keys);
        assert!(cost <= 2 * plain, "{what}: {cost} ns, a plain refusal {plain} ns");
    }
}

#[test]
fn a_name_that_is_repeated_is_encoded_once() {
    let keys = keys();
    let value = [("a".to_owned(), "/".repeat(7_600))];
    let once = Attack::new("x", "host;a", &value).cost(&keys);
    let repeated = Attack::new("x", &format!("host{}", ";a".repeat(31)), &value).cost(&keys);
    assert!(repeated <= 2 * once, "31 times: {repeated} ns, once: {once} ns");
}

#[test]
fn the_most_that_the_limits_let_in_costs_little_more_than_the_largest_body() {
    let keys = keys();
    let settings = ApiSettings::default();
    let plain = Attack { body: vec![b'/'; settings.max_body], ..Attack::plain(KEY.0) }.cost(&keys);
    let values: Vec<(String, String)> = (0..31).map(|n| (format!("x{n:02}"), "/".repeat(500))).collect();
    let names: String = values.iter().map(|(name, _)| format!(";{name}")).collect();
    let most = Attack {
        query: "a&".repeat(settings.max_uri / 2),
        body: vec![b'/'; settings.max_body],
        ..Attack::new("x", &format!("host{names}"), &values)
    };
    let cost = most.cost(&keys);
    assert!(cost <= 4 * plain, "{cost} ns, the largest body alone {plain} ns");
}

#[test]
fn an_unknown_access_key_costs_as_much_as_a_known_one() {
    let keys = keys();
    let [known, unknown] = [KEY.0, "nobody-has-it"].map(|key| Attack::plain(key).cost(&keys));
    // Twice: the noise of a busy machine. A key that is not looked up any further would take a tenth.
    assert!(known <= 2 * unknown && unknown <= 2 * known, "known {known} ns, unknown {unknown} ns");
}
