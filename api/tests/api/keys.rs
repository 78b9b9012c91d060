//! Keys: two secrets, networks, expiry, and a change while the server runs.

use callsweep_core::clock::Clock;
use callsweep_core::store::Backend;
use callsweep_core::store::runs::{self, RunFilter};
use callsweep_testkit::{TestDatabase, on_each_backend};

use crate::http;
use crate::process::{Running, key, program, write_settings};
use crate::server::{Call, KEY, LIMITED_KEY, TestServer, eventually};

const NOTHING: &str = r#"{"sessionId":"nobody"}"#;

fn call() -> Call {
    Call::new(NOTHING)
}

on_each_backend! {
    fn both_secrets_are_taken_while_a_client_moves(db) {
        let server = TestServer::start_with(db, |settings| {
            settings.api.keys[0].previous_secret_key = Some("the old secret".into());
        });
        for secret in [KEY.1, "the old secret"] {
            assert_eq!(server.send(&call().by((KEY.0, secret))).status, 200);
        }
        assert_eq!(server.send(&call().by((KEY.0, "older"))).status, 401);
        assert_eq!(server.send(&call().by((LIMITED_KEY.0, "the old secret"))).status, 401);
    }

    fn a_key_is_refused_elsewhere_and_later_and_the_answer_is_the_same(db) {
        let server = TestServer::start_with(db, |settings| {
            settings.api.keys[0].addresses = vec!["10.0.0.0/8".parse().unwrap()];
            // The server's time is 14:06:52.
            settings.api.keys[1].expires = Some("2024-10-31T14:06:52Z".parse().unwrap());
        });
        let refused = [call(), call().by(LIMITED_KEY), call().by(("nobody", "x"))].map(|call| server.send(&call));
        for response in &refused {
            assert_eq!((response.status, &response.body), (401, &refused[0].body));
        }
        for reason in ["address", "expired", "unknown_key"] {
            let metric = format!("callsweep_auth_failures_total{{reason=\"{reason}\"}}");
            assert_eq!(server.metric(&metric), 1, "{reason}");
        }
    }

    fn a_key_is_let_in_from_its_networks_until_it_expires(db) {
        let server = TestServer::start_with(db, |settings| {
            settings.api.keys[0].addresses = vec!["10.0.0.0/8".parse().unwrap(), "127.0.0.1/32".parse().unwrap()];
            settings.api.keys[0].expires = Some("2024-10-31T14:06:53Z".parse().unwrap());
        });
        assert_eq!(server.send(&call()).status, 200);
    }

    fn keys_are_read_again_on_a_signal_and_a_bad_file_changes_nothing(db) {
        let dir = tempfile::tempdir().unwrap();
        drop(TestServer::start(db));
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "from a file\n").unwrap();
        let file_key = format!("[[api.keys]]\naccess_key = \"f\"\nsecret_key_file = \"{}\"\nvdns = \"all\"\n", secret.display());
        write_settings(dir.path(), db.url(), &file_key);
        let mut server = Running::start(program(dir.path(), &[]));
        let status = |server: &Running, key: (&str, &str)| {
            let now = Clock::system().now().format("%Y-%m-%dT%H:%M:%SZ").to_string();
            let call = call().by(key).sign_with(|signer| signer.timestamp = now);
            http::exchange(server.address, &call.to_bytes()).status
        };
        assert_eq!((status(&server, ("f", "from a file")), status(&server, KEY)), (200, 401));

        std::fs::write(&secret, "another").unwrap();
        write_settings(dir.path(), db.url(), &(file_key.clone() + &key()));
        server.signal("HUP");
        eventually("the new key is taken", || status(&server, KEY) == 200);
        assert_eq!((status(&server, ("f", "another")), status(&server, ("f", "from a file"))), (200, 401));

        write_settings(dir.path(), db.url(), &key().replace("vdns", "vdn"));
        server.signal("HUP");
        let failed = "callsweep_reloads_total{what=\"keys\",result=\"failed\"}";
        eventually("the bad file is seen", || http::metric(server.ops_address, failed) == 1);
        assert_eq!((status(&server, ("f", "another")), status(&server, KEY)), (200, 200));
        server.terminate();
        assert_eq!(server.wait().code(), Some(0));
        assert!(server.log.contains("those from before stay") && server.log.contains("vdn"), "{}", server.log);
    }
}

#[test]
fn a_request_that_was_signed_for_another_server_is_refused() {
    let server = TestServer::start_with(&TestDatabase::new(Backend::Sqlite), |settings| {
        settings.api.hosts = vec!["callsweep.example".to_owned()];
    });
    let for_host = |host: &str| {
        let call = Call::new(r#"{"sessionId":"nobody"}"#).without("Host");
        call.header("Host", host).sign_with(|signer| signer.signed_headers = "content-type;host".to_owned())
    };
    assert_eq!(server.send(&for_host("callsweep.example:8443")).status, 200);
    assert_eq!(server.send(&for_host("staging.example")).status, 401);
    assert_eq!(server.metric("callsweep_auth_failures_total{reason=\"host\"}"), 1);
}

#[test]
fn the_address_of_a_key_is_the_client_s_behind_a_trusted_proxy_alone() {
    let start = |trusted: &[&str]| {
        let trusted = trusted.iter().map(|network| network.parse().unwrap()).collect();
        TestServer::start_with(&TestDatabase::new(Backend::Sqlite), |settings| {
            settings.api.trusted_proxies = trusted;
            settings.api.keys[0].addresses = vec!["203.0.113.9/32".parse().unwrap()];
        })
    };
    let call = |forwarded: &str| Call::new(r#"{"sessionId":"nobody"}"#).header("X-Forwarded-For", forwarded);
    let (behind, exposed) = (start(&["127.0.0.0/8"]), start(&[]));
    assert_eq!(behind.send(&call("198.51.100.1, 203.0.113.9")).status, 200);
    assert_eq!(behind.send(&call("203.0.113.9, 198.51.100.1")).status, 401, "the client wrote the first one");
    assert_eq!(exposed.send(&call("203.0.113.9")).status, 401, "nobody is trusted");
    let all = RunFilter::default();
    let run = runs::list(&mut behind.store.connection().unwrap(), &all).unwrap().remove(0);
    assert_eq!(run.client_address.as_deref(), Some("203.0.113.9"));
}
