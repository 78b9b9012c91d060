//! A request that is sent again gets the first answer, and nothing is done twice.

use callsweep_core::number::NumberStatus;
use callsweep_core::on_each_backend;
use callsweep_core::store::runs::{self, RunFilter};
use chrono::TimeDelta;
use diesel::connection::SimpleConnection;

use crate::http::Response;
use crate::server::{CAMPAIGN, Call, EXECUTING, LIMITED_KEY, TestServer};

const BATCH: &str = r#"{"customField":"batch","archiveHistory":1}"#;

fn again(server: &TestServer, call: &Call) -> (Response, Response) {
    (server.send(call), server.send(call))
}

fn runs_of(server: &TestServer) -> usize {
    runs::list(&mut server.store.connection().unwrap(), &RunFilter::default()).unwrap().len()
}

on_each_backend! {
    fn the_same_signature_gets_the_same_answer(db) {
        let server = TestServer::start(db);
        let mut barred = server.number("2");
        barred.status = NumberStatus::Calling;
        server.add(&[server.number("1"), barred]);
        let call = Call::new(BATCH);
        let (first, second) = again(&server, &call);
        assert_eq!(first.members().count, 1);
        assert_eq!(first.body, second.body);
        // What came meanwhile is not taken by the repetition, and is by a new request.
        server.add(&[server.number("3")]);
        assert_eq!(server.send(&call).body, first.body);
        assert_eq!((server.count(), runs_of(&server)), (2, 1));
        assert_eq!(server.send(&Call::new(BATCH)).members().count, 1);
        assert_eq!(server.metric("callsweep_answers_replayed_total"), 2);
    }

    fn refusals_by_the_state_are_repeated_too(db) {
        let server = TestServer::start(db);
        let (first, second) = again(&server, &Call::new(BATCH).to(1, EXECUTING));
        assert_eq!((first.members().code.as_str(), &first.body), ("0200028", &second.body));
        let mut barred = server.number("1");
        barred.status = NumberStatus::Failed;
        server.add(&[barred]);
        let (first, second) = again(&server, &Call::new(BATCH));
        assert_eq!((first.members().code.as_str(), &first.body), ("0200028", &second.body));
        let (first, second) = again(&server, &Call::new(r#"{"sessionId":"nobody"}"#));
        assert_eq!((first.members().code.as_str(), &first.body), ("0200000", &second.body));
        assert_eq!(runs_of(&server), 3);
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
        assert_eq!((server.count(), runs_of(&server)), (0, 1));
    }

    fn an_idempotency_key_holds_across_signatures(db) {
        let server = TestServer::start(db);
        server.add(&[server.number("1"), server.number("2")]);
        let call = |body: &str| Call::new(body).header("Idempotency-Key", "8e03978e-40d5-43dd-bc93-6894a57f9324");
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
        assert_eq!(server.send(&Call::new(BATCH).header("Idempotency-Key", "")).status, 400);
        assert_eq!(server.count(), 1);
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
        assert_eq!((server.count(), runs_of(&server)), (0, 1));
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
        assert_eq!((server.count(), runs_of(&server)), (0, 1));
    }

    fn it_can_be_turned_off(db) {
        let server = TestServer::start_with(db, |settings| settings.api.replay_answers = false);
        server.add(&[server.number("1")]);
        let (first, second) = again(&server, &Call::new(BATCH).to(1, CAMPAIGN));
        assert_eq!((first.members().count, second.members().count, runs_of(&server)), (1, 0, 2));
    }
}
