//! Promise 7: a request that is sent again, or was captured, gets the first answer and removes nothing more.

use callsweep_core::number::NumberStatus;
use callsweep_core::store::Backend;
use callsweep_core::store::runs::{self, RunFilter};
use callsweep_testkit::on_each_backend;
use chrono::TimeDelta;
use diesel::connection::SimpleConnection;

use crate::http::{self, Response};
use crate::process::{Running, key, output, program, write_settings};
use crate::server::{CAMPAIGN, Call, EXECUTING, LIMITED_KEY, TestServer, eventually};

const BATCH: &str = r#"{"customField":"batch","archiveHistory":1}"#;

/// Served by the group commit, where [`BATCH`] is served by itself.
const ONE: &str = r#"{"sessionId":"1","archiveHistory":1}"#;

const IDEMPOTENCY_KEY: &str = "idempotency-key";

fn send_twice(server: &TestServer, call: &Call) -> (Response, Response) {
    (server.send(call), server.send(call))
}

/// A call that is signed anew each time, with a signed Idempotency-Key.
fn keyed(body: &str, key: &str) -> Call {
    Call::new(body).signed_header(IDEMPOTENCY_KEY, key)
}

/// What somebody who captured a request may send who has no key: its bytes with these lines in place of those of
/// Idempotency-Key.
fn tampered(captured: &Call, lines: &str) -> Vec<u8> {
    let captured = String::from_utf8(captured.to_bytes()).unwrap();
    let is_idempotency_key = |line: &&str| line.to_ascii_lowercase().starts_with(IDEMPOTENCY_KEY);
    let kept: String = captured.split_inclusive("\r\n").filter(|line| !is_idempotency_key(line)).collect();
    kept.replacen("\r\n", &format!("\r\n{lines}"), 1).into_bytes()
}

/// A trigger by which the campaign begins to execute when a number of it has been deleted.
fn executes_after_a_delete(backend: Backend) -> String {
    let update = format!("UPDATE campaign SET status = 2 WHERE id = {CAMPAIGN}");
    match backend {
        Backend::Sqlite => format!("CREATE TRIGGER begins AFTER DELETE ON call_data BEGIN {update}; END"),
        Backend::Postgres => format!(
            "CREATE FUNCTION begins() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {update}; RETURN NULL; END $$; \
             CREATE TRIGGER begins AFTER DELETE ON call_data FOR EACH ROW EXECUTE FUNCTION begins()"
        ),
        Backend::Mysql => format!("CREATE TRIGGER begins AFTER DELETE ON call_data FOR EACH ROW {update}"),
    }
}

fn run_count(server: &TestServer) -> usize {
    runs::list(&mut server.store.connection().unwrap(), &RunFilter::default()).unwrap().len()
}

on_each_backend! {
    fn the_same_signature_gets_the_same_answer(db) {
        let server = TestServer::start(db);
        let mut barred = server.number("2");
        barred.status = NumberStatus::Calling;
        server.add(&[server.number("1"), barred]);
        let call = Call::new(BATCH);
        let (first, second) = send_twice(&server, &call);
        assert_eq!(first.members().count, 1);
        assert_eq!(first.body, second.body);
        // What came meanwhile is not taken by the repetition, and is by a new request.
        server.add(&[server.number("3")]);
        assert_eq!(server.send(&call).body, first.body);
        assert_eq!((server.count(), run_count(&server)), (2, 1));
        assert_eq!(server.send(&Call::new(BATCH)).members().count, 1);
        assert_eq!(server.metric("callsweep_answers_replayed_total"), 2);
    }

    fn refusals_by_the_state_are_repeated_too(db) {
        let server = TestServer::start(db);
        let (first, second) = send_twice(&server, &Call::new(BATCH).to(1, EXECUTING));
        assert_eq!((first.members().code.as_str(), &first.body), ("0200028", &second.body));
        let mut barred = server.number("1");
        barred.status = NumberStatus::Failed;
        server.add(&[barred]);
        let (first, second) = send_twice(&server, &Call::new(BATCH));
        assert_eq!((first.members().code.as_str(), &first.body), ("0200028", &second.body));
        let (first, second) = send_twice(&server, &Call::new(r#"{"sessionId":"nobody"}"#));
        assert_eq!((first.members().code.as_str(), &first.body), ("0200000", &second.body));
        assert_eq!(run_count(&server), 3);
    }

    fn the_texts_of_the_ledger_decide_nothing_about_a_repeated_answer(db) {
        let server = TestServer::start_with(db, |settings| settings.api.chunk_size = 1.try_into().unwrap());
        let mut barred = server.number("2");
        barred.status = NumberStatus::Calling;
        let mut calls = Vec::new();
        let mut send = |call: Call| {
            let first = server.send(&call);
            calls.push((call, first));
        };
        send(Call::new(BATCH)); // nothing matches
        send(Call::new(BATCH).to(1, EXECUTING)); // refused
        server.add(&[barred.clone()]);
        send(Call::new(BATCH)); // all barred
        server.add(&[server.number("1")]);
        send(Call::new(BATCH)); // one deleted, one barred
        server.add(&[server.number("3"), server.number("4")]);
        server.store.connection().unwrap().batch_execute(&executes_after_a_delete(db.backend())).unwrap();
        send(Call::new(BATCH)); // one deleted, then the campaign executes
        let count = |index: usize| calls[index].1.members().count;
        assert_eq!((0..calls.len()).map(count).collect::<Vec<_>>(), [0, 0, 0, 1, 1]);
        for texts in ["NULL", "''", "'the campaign began to execute'", "'stopped by a person'"] {
            let scramble = format!("UPDATE purge_run SET stop_reason = {texts}, error = {texts}");
            server.store.connection().unwrap().batch_execute(&scramble).unwrap();
            for (call, first) in &calls {
                assert_eq!(server.send(call).body, first.body, "{texts}");
            }
        }
    }

    fn copies_at_once_do_the_work_once(db) {
        let server = TestServer::start_with(db, |settings| settings.api.chunk_size = 7.try_into().unwrap());
        server.add(&(0..100).map(|n| server.number(&n.to_string())).collect::<Vec<_>>());
        let call = Call::new(BATCH);
        let bodies: Vec<String> = std::thread::scope(|scope| {
            let copies: Vec<_> = (0..8).map(|_| scope.spawn(|| server.send(&call).body)).collect();
            copies.into_iter().map(|copy| copy.join().unwrap()).collect()
        });
        assert!(bodies.iter().all(|body| body.contains(r#""successCount":100"#)), "{bodies:?}");
        assert_eq!((server.count(), run_count(&server)), (0, 1));
    }

    fn an_idempotency_key_holds_across_signatures(db) {
        let server = TestServer::start(db);
        server.add(&[server.number("1"), server.number("2")]);
        let call = |body: &str| keyed(body, "8e03978e-40d5-43dd-bc93-6894a57f9324");
        assert_eq!(server.send(&call(r#"{"sessionId":"1"}"#)).members().count, 1);
        server.add(&[server.number("1")]);
        assert_eq!(server.send(&call(r#"{"sessionId":"1"}"#)).members().count, 1);
        assert_eq!(server.count(), 2);
        // Another client's key of the same text is another key; the same client's for another request is a mistake.
        assert_eq!(server.send(&call(r#"{"sessionId":"1"}"#).by(LIMITED_KEY)).members().count, 1);
        for other in [call(r#"{"sessionId":"2"}"#), call(r#"{"sessionId":"1","archiveHistory":1}"#), call(r#"{"sessionId":"1"}"#).to(1, EXECUTING)] {
            let response = server.send(&other);
            assert_eq!((response.status, response.members().code.as_str()), (422, "0200001"), "{response:?}");
            assert!(response.members().desc.contains("Idempotency-Key: belongs to another request"));
        }
        assert_eq!(server.count(), 1);
    }

    fn a_captured_request_removes_nothing_more_whatever_is_added_to_it(db) {
        let server = TestServer::start(db);
        for body in [ONE, BATCH] {
            server.add(&[server.number("1")]);
            let captured = Call::new(body);
            let first = server.send(&captured);
            assert_eq!((first.members().count, server.count()), (1, 0));
            server.add(&[server.number("1")]);
            for lines in [
                "Idempotency-Key: x\r\n",
                "idempotency-key: y\r\n",
                "Idempotency-Key: x\r\nIdempotency-Key: y\r\n",
                "Idempotency-Key: \r\n",
            ] {
                let response = http::exchange(server.address, &tampered(&captured, lines));
                assert_eq!((response.status, server.count()), (400, 1), "{lines:?}: {response:?}");
            }
            for lines in [
                "X-Request-Id: another\r\n",
                "X-HTTP-Method-Override: DELETE\r\nX-Method-Override: PUT\r\n",
                "Content-Encoding: gzip\r\nAccept-Encoding: gzip\r\n",
                "X-Forwarded-For: 10.0.0.1\r\nForwarded: for=10.0.0.1\r\nX-Original-URL: /\r\n",
                "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
            ] {
                let response = http::exchange(server.address, &tampered(&captured, lines));
                assert_eq!((response.status, &response.body), (200, &first.body), "{lines:?}");
            }
            // The one header with an effect that need not be signed: the language of the answer's text.
            let response = http::exchange(server.address, &tampered(&captured, "locale: zh_CN\r\n"));
            assert_eq!((response.status, response.members().count, server.count()), (200, 1, 1));
            assert_eq!(server.delete(ONE).count, 1);
        }
    }

    fn a_captured_request_with_a_signed_key_removes_nothing_more(db) {
        let server = TestServer::start(db);
        for (n, body) in [ONE, BATCH].into_iter().enumerate() {
            server.add(&[server.number("1")]);
            let captured = keyed(body, &format!("k{n}"));
            let first = server.send(&captured);
            assert_eq!((first.members().count, server.count()), (1, 0));
            server.add(&[server.number("1")]);
            for lines in ["", "Idempotency-Key: x\r\n", "Idempotency-Key: x\r\nIdempotency-Key: k0\r\n"] {
                let response = http::exchange(server.address, &tampered(&captured, lines));
                assert_eq!((response.status, server.count()), (401, 1), "{lines:?}: {response:?}");
            }
            assert_eq!((server.send(&captured).body, server.count()), (first.body, 1));
            assert_eq!(server.delete(ONE).count, 1);
        }
    }

    fn an_unsigned_key_is_refused_and_the_answer_says_how_to_sign_it(db) {
        let server = TestServer::start(db);
        server.add(&[server.number("1")]);
        let call = Call::new(BATCH);
        let refused = server.send(&call.clone().header("Idempotency-Key", "x"));
        assert_eq!((refused.status, refused.members().code.as_str(), server.count()), (400, "0200001", 1));
        let text = refused.members().desc;
        assert!(text.contains("signedHeaders") && text.contains("content-type;host;idempotency-key"), "{text}");
        let long = "x".repeat(256);
        for value in ["", &long, "é"] {
            let refused = server.send(&keyed(BATCH, value));
            assert_eq!((refused.status, server.count()), (400, 1), "{value:?}");
            assert!(refused.members().desc.contains("1 to 255 printable ASCII"), "{refused:?}");
        }
        // Nothing has been done yet: the signature is still good for one deletion.
        assert_eq!(server.send(&call).members().count, 1);
    }

    fn copies_of_one_deletion_at_once_do_the_work_once_on_two_servers(db) {
        let first = TestServer::start(db);
        let second = TestServer::replica(db, "2024-10-31T14:06:53Z", |_| ());
        for (n, body) in [ONE, BATCH].into_iter().enumerate() {
            first.add(&[first.number("1"), first.number("1")]);
            let key = format!("one deletion {n}");
            // Some copies have the same signature, the others are signed anew.
            let same = keyed(body, &key);
            let bodies: Vec<String> = std::thread::scope(|scope| {
                let copies = (0..12).map(|copy| {
                    let server = if copy % 2 == 0 { &first } else { &second };
                    let call = if copy % 3 == 0 { same.clone() } else { keyed(body, &key) };
                    scope.spawn(move || server.send(&call).body)
                });
                let copies: Vec<_> = copies.collect();
                copies.into_iter().map(|copy| copy.join().unwrap()).collect()
            });
            assert!(bodies.iter().all(|body| body.contains(r#""successCount":2"#)), "{bodies:?}");
            assert_eq!((first.count(), run_count(&first)), (0, n + 1));
        }
    }

    fn a_server_of_the_first_version_left_keys_that_still_count(db) {
        let server = TestServer::start(db);
        server.add(&[server.number("1")]);
        assert_eq!(server.send(&keyed(ONE, "k")).members().count, 1);
        // As the migration leaves the row of a request that 0.1.0 has answered.
        db.connect().batch_execute("UPDATE purge_run SET request_key = idempotency_key").unwrap();
        server.add(&[server.number("1")]);
        assert_eq!((server.send(&keyed(ONE, "k")).members().count, server.count()), (1, 1));
    }

    fn a_request_whose_server_died_is_finished_by_its_repetition(db) {
        let server = TestServer::start_with(db, |settings| settings.api.chunk_size = 3.try_into().unwrap());
        server.add(&(0..10).map(|n| server.number(&n.to_string())).collect::<Vec<_>>());
        let call = Call::new(BATCH);
        assert_eq!(server.send(&call).members().count, 10);
        // As a server leaves it that dies after its second chunk: the rest is still there.
        server.add(&(0..4).map(|n| server.number(&n.to_string())).collect::<Vec<_>>());
        let dead = server.store.clock().timestamp() - TimeDelta::hours(1);
        db.connect().batch_execute(&format!(
            "UPDATE purge_run SET state = 'running', deleted = 6, archived = 6, matched = 6, chunks = 2, result_code = NULL, \
             finished_at = NULL, owner = 'dead', heartbeat_at = '{}'", dead.format("%Y-%m-%d %H:%M:%S")
        )).unwrap();
        let finished = server.send(&call);
        assert_eq!(finished.members().count, 10);
        assert_eq!(server.send(&call).body, finished.body);
        assert_eq!((server.count(), run_count(&server)), (0, 1));
    }

    fn a_request_that_the_database_failed_is_done_by_its_repetition(db) {
        let server = TestServer::start(db);
        server.add(&[server.number("1")]);
        let call = Call::new(BATCH);
        db.connect().batch_execute("ALTER TABLE call_data_history RENAME TO hidden").unwrap();
        assert_eq!(server.send(&call).members().code, "0200006");
        db.connect().batch_execute("ALTER TABLE hidden RENAME TO call_data_history").unwrap();
        let done = server.send(&call);
        assert_eq!((done.members().code.as_str(), done.members().count), ("0200000", 1));
        assert_eq!(server.send(&call).body, done.body);
        assert_eq!((server.count(), run_count(&server)), (0, 1));
    }

    fn no_server_starts_that_would_repeat_what_it_did(db) {
        let dir = tempfile::tempdir().unwrap();
        drop(TestServer::start(db));
        write_settings(dir.path(), db.url(), &format!("replay_answers = false\n{}", key()));
        let refused = output(dir.path(), &[]);
        let message = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1));
        assert!(message.contains("api.replay_answers = false") && message.contains("captures a signed request"), "{message}");

        // And none that runs takes such settings: not the keys that come with them either.
        let file = write_settings(dir.path(), db.url(), &key());
        let mut server = Running::start(program(dir.path(), &[]));
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("[api]", "[api]\nreplay_answers = false")).unwrap();
        server.signal("HUP");
        let failed = "callsweep_reloads_total{what=\"keys\",result=\"failed\"}";
        eventually("the settings are refused", || http::metric(server.ops_address, failed) == 1);
        server.terminate();
        assert_eq!(server.wait().code(), Some(0));
        assert!(server.log.contains("api.replay_answers = false"), "{}", server.log);
    }
}
