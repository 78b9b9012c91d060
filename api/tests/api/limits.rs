//! What a client cannot take from the others: requests, time, connections, rows.

use std::io::{ErrorKind, Read, Write};
use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use callsweep_core::number::NumberStatus;
use callsweep_core::settings::Settings;
use callsweep_testkit::on_each_backend;

use crate::http::{self, Response};
use crate::server::{Call, KEY, LIMITED_KEY, TestServer, eventually};

const NOTHING: &str = r#"{"sessionId":"nobody"}"#;
const BATCH: &str = r#"{"customField":"batch"}"#;

fn call() -> Call {
    Call::new(NOTHING)
}

/// Sends until the server has enough, and tells how many it took before.
fn until_limited(server: &TestServer, call: &Call) -> (usize, Response) {
    // One token comes back in a second; a server slower than that by itself is another test's.
    (0..60).map(|n| (n, server.send(call))).find(|(_, response)| response.status == 429).expect("it is limited")
}

/// Over a limit the client is told so in the five members, and when to come back.
fn assert_limited(response: &Response) {
    assert_eq!((response.status, response.members().code.as_str()), (429, "0200001"), "{response:?}");
    let wait: u64 = response.header("retry-after").expect("there is a Retry-After").parse().unwrap();
    assert!(wait >= 1);
}

on_each_backend! {
    fn a_key_over_its_rate_waits_and_the_others_do_not(db) {
        let server = TestServer::start_with(db, |settings| {
            settings.api.limits.key_per_second = 1;
            settings.api.limits.key_burst = 3;
        });
        let (taken, limited) = until_limited(&server, &call());
        assert!(taken >= 3, "{taken}");
        assert_limited(&limited);
        // Who has not proved to be the key uses up none of its tokens, and is not told of them.
        assert_eq!(server.send(&call().by((KEY.0, "wrong"))).status, 401);
        assert_eq!(server.send(&call().by(LIMITED_KEY)).status, 200);
        assert!(server.metric("callsweep_rate_limited_total{limit=\"key\"}") >= 1);
    }

    fn an_address_over_its_rate_waits_whatever_it_sends(db) {
        let server = TestServer::start_with(db, |settings| {
            settings.api.limits.address_per_second = 1;
            settings.api.limits.address_burst = 2;
        });
        let (taken, limited) = until_limited(&server, &call().unsigned().path("/"));
        assert!(taken >= 2, "{taken}");
        assert_limited(&limited);
        assert!(server.metric("callsweep_rate_limited_total{limit=\"address\"}") >= 1);
    }

    fn a_key_has_no_more_requests_at_the_same_time_than_it_may(db) {
        let server = TestServer::start_with(db, |settings| {
            one_connection(settings, "60s");
            settings.api.limits.key_concurrency = 1;
        });
        let held = server.store.connection().unwrap();
        std::thread::scope(|scope| {
            let waiting = [scope.spawn(|| server.send(&call())), scope.spawn(|| server.send(&call().by(LIMITED_KEY)))];
            // Both wait for the connection that is held.
            eventually("both are under way", || server.metric("callsweep_pool_waiting") == 2);
            assert_limited(&server.send(&call()));
            drop(held);
            for answered in waiting {
                assert_eq!(answered.join().unwrap().status, 200);
            }
        });
        assert_eq!(server.send(&call()).status, 200);
    }

    fn a_slow_body_is_not_waited_for(db) {
        let server = TestServer::start_with(db, |settings| settings.api.body_timeout = Duration::from_millis(100));
        let mut stream = http::connect(server.address);
        stream.write_all(&call().head()).unwrap();
        stream.write_all(&call().body()[..5]).unwrap();
        let response = Response::parse(&http::read_to_end(&mut stream));
        assert_eq!((response.status, response.members().code.as_str()), (408, "0200001"));
    }

    fn a_slow_head_is_not_waited_for(db) {
        let server = TestServer::start_with(db, |settings| settings.api.header_timeout = Duration::from_millis(100));
        let mut stream = http::connect(server.address);
        stream.write_all(&call().head()[..20]).unwrap();
        assert_eq!(Response::parse(&http::read_to_end(&mut stream)).status, 408);
    }

    fn a_slow_head_of_a_later_request_is_not_waited_for(db) {
        let server = TestServer::start_with(db, |settings| {
            settings.api.header_timeout = Duration::from_millis(100);
            settings.api.keep_alive = Duration::from_millis(100);
        });
        let mut stream = http::connect(server.address);
        assert_eq!(http::exchange_kept_alive(&mut stream, &call()).status, 200);
        stream.write_all(&call().head()[..20]).unwrap();
        let mut rest = Vec::new();
        let ended = stream.read_to_end(&mut rest);
        assert!(!ended.is_err_and(|error| error.kind() == ErrorKind::WouldBlock), "the connection is still open");
        assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
    }

    fn headers_have_a_limit(db) {
        let server = TestServer::start(db);
        let response = server.send(&call().header("X-A", &"a".repeat(16 * 1024)));
        assert_eq!((response.status, response.members().code.as_str()), (431, "0200001"));
        assert_eq!(server.send(&call().header("X-A", &"a".repeat(15 * 1024))).status, 200);
    }

    fn path_and_query_have_a_limit_and_so_have_the_names_of_signed_headers(db) {
        let server = TestServer::start(db);
        let query: &'static str = Box::leak("a&".repeat(1024).into_boxed_str());
        let response = server.send(&call().query(query, None));
        assert_eq!((response.status, response.members().code.as_str()), (414, "0200001"));

        let names = format!("host{}", ";a".repeat(3_900));
        let many = call().header("a", &"/".repeat(7_600)).sign_with(|signer| signer.signed_headers = names);
        assert_eq!(server.send(&many).status, 401);
        let refused = "callsweep_auth_failures_total{reason=\"too_many_signed_headers\"}";
        assert_eq!(server.metric(refused), 1);
    }

    fn more_rows_than_allowed_are_refused_with_their_count(db) {
        let server = TestServer::start_with(db, |settings| {
            settings.api.max_rows = NonZeroU64::new(2);
            settings.api.keys[1].max_rows = NonZeroU64::new(3);
        });
        let mut barred = server.number("barred");
        barred.status = NumberStatus::Succeeded;
        server.add(&[server.number("1"), server.number("2"), server.number("3"), barred]);
        let answer = server.delete(BATCH);
        assert_eq!((answer.code.as_str(), answer.count), ("0200001", 0));
        assert!(answer.desc.ends_with("3 numbers are more than the 2 that one call may remove"), "{answer:?}");
        assert_eq!(server.delete(r#"{"customField":"batch","archiveHistory":1}"#).code, "0200001");
        assert_eq!(server.count(), 4);
        assert_eq!(server.delete(r#"{"customField":"batch","sessionId":"1"}"#).count, 1);
        assert_eq!(server.delete(BATCH).count, 2);
        server.add(&[server.number("1"), server.number("2"), server.number("3")]);
        assert_eq!(server.send(&Call::new(BATCH).by(LIMITED_KEY)).members().count, 3);
        assert_eq!(server.count(), 1);
    }

    fn requests_wait_in_turn_for_a_connection_and_health_checks_do_not(db) {
        let server = TestServer::start_with(db, |settings| one_connection(settings, "60s"));
        server.add(&[server.number("1")]);
        let held = server.store.connection().unwrap();
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..4).map(|_| scope.spawn(|| server.delete(r#"{"sessionId":"1"}"#).count)).collect();
            eventually("they wait", || server.metric("callsweep_pool_waiting") == 4);
            assert_eq!(http::get(server.ops_address, "/readyz").body, "ready\n");
            assert_eq!(http::get(server.ops_address, "/healthz").status, 200);
            assert_eq!(server.metric("callsweep_pool_connections{state=\"in_use\"}"), 1);
            drop(held);
            let gone: i64 = waiting.into_iter().map(|answered| answered.join().unwrap()).sum();
            assert_eq!(gone, 1);
        });
        assert_eq!(server.metric("callsweep_pool_waiting"), 0);
    }

    fn who_has_waited_long_enough_is_sent_away_and_nothing_is_done(db) {
        let server = TestServer::start_with(db, |settings| one_connection(settings, "100ms"));
        server.add(&[server.number("1")]);
        let held = server.store.connection().unwrap();
        std::thread::scope(|scope| {
            let waiting: Vec<_> = (0..8).map(|_| scope.spawn(|| server.send(&Call::new(BATCH)))).collect();
            for answered in waiting {
                let response = answered.join().unwrap();
                assert_eq!((response.status, response.header("retry-after")), (503, Some("1")));
                assert_eq!(response.members().code, "0200006");
            }
        });
        drop(held);
        assert_eq!(server.count(), 1);
        assert_eq!(server.delete(BATCH).count, 1);
    }
}

fn one_connection(settings: &mut Settings, queue_timeout: &str) {
    settings.database.pool_size = NonZeroU32::MIN;
    settings.api.queue_timeout = humantime::parse_duration(queue_timeout).unwrap();
}
