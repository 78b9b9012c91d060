//! How the server starts, refuses to start, and stops.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use callsweep_core::clock::Clock;
use callsweep_core::store::Backend;
use callsweep_testkit::{Server, TestDatabase, on_each_backend};
use diesel::connection::SimpleConnection;

use crate::http::{self, Response};
use crate::process::{Running, WITHIN, key, output, program, write_settings};
use crate::server::{Call, TestServer, eventually};

/// What a later version leaves behind.
const NEWER: &str = "INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000001')";

/// Starts the program and expects it to end at once, with 1 and this in its one line.
fn refuses(directory: &std::path::Path, arguments: &[&str], parts: &[&str]) {
    let output = output(directory, arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty());
    let last = stderr.lines().last().unwrap_or_default();
    assert!(last.starts_with("callsweep-api: "), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    for part in parts {
        assert!(last.contains(part), "{part:?} is not in {last:?}");
    }
}

/// Starts the program, freezes the database with these requests on their way, and asks the program to end.
fn ends_in_its_time(database: &Server, db: &TestDatabase, bodies: &[&str], clients_stay: bool) {
    let dir = tempfile::tempdir().unwrap();
    write_settings(dir.path(), db.url(), &format!("shutdown_timeout_seconds = 1\n{}", key()));
    let mut server = Running::start(program(dir.path(), &[]));
    let call = |body: &str| {
        let now = Clock::system().now().format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string();
        Call::new(body).sign_with(|signer| signer.timestamp = now)
    };
    // The pool has its connections by then.
    for body in bodies {
        assert_eq!(http::exchange(server.address, &call(body).to_bytes()).status, 200);
    }
    let frozen = database.freeze();
    let send = |body: &&str| {
        let mut waiting = http::connect(server.address);
        waiting.write_all(&call(body).to_bytes()).unwrap();
        waiting
    };
    let mut waiting: Vec<_> = bodies.iter().map(send).collect();
    eventually("the requests wait for the database", || {
        http::metric(server.ops_address, "callsweep_http_requests_in_flight") == waiting.len() as u64
    });
    if !clients_stay {
        waiting.clear();
        eventually("the server sees that the clients are gone", || {
            http::metric(server.ops_address, "callsweep_http_requests_in_flight") == 0
        });
    }
    let asked = Instant::now();
    server.terminate();
    server.wait();
    let took = asked.elapsed();
    database.thaw(&frozen);
    assert!(took <= Duration::from_secs(1 + 5), "it took {took:?}");
    // What still waits for the database is logged. Nothing does where no connection was taken before the request timed out.
    let says_what_is_left = server.log.contains("ending without waiting for the database");
    assert!(says_what_is_left || server.log.contains(r#""message":"stopped""#), "{}", server.log);
}

on_each_backend! {
    fn it_ends_in_its_time_though_the_database_hangs(db) {
        if db.backend() == Backend::Sqlite {
            return; // There is no server that could hang.
        }
        let database = Server::to_be_killed(db.backend(), &[]);
        let on_it = TestDatabase::on(&database);
        drop(TestServer::start(&on_it));
        // With clients that wait; and with none left, when the end of the server waits for the threads of the group commit.
        ends_in_its_time(&database, &on_it, &[r#"{"sessionId":"1"}"#, r#"{"customField":"1"}"#], true);
        ends_in_its_time(&database, &on_it, &[r#"{"sessionId":"1"}"#], false);
    }

    fn it_does_not_start_without_a_key(db) {
        let dir = tempfile::tempdir().unwrap();
        write_settings(dir.path(), db.url(), "");
        refuses(dir.path(), &[], &["no key is configured", "[[api.keys]]"]);
        let empty = key().replace(crate::server::KEY.1, "");
        write_settings(dir.path(), db.url(), &empty);
        refuses(dir.path(), &["serve"], &["key number 1"]);
        write_settings(dir.path(), db.url(), &key().repeat(2));
        refuses(dir.path(), &["serve"], &["globalaktest", "twice"]);
    }

    fn it_does_not_start_on_an_address_that_is_taken(db) {
        let dir = tempfile::tempdir().unwrap();
        let settings = write_settings(dir.path(), db.url(), &key());
        let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let _holder = TcpListener::bind(taken).unwrap();
        let text = std::fs::read_to_string(&settings).unwrap();
        std::fs::write(&settings, text.replacen("127.0.0.1:0", &taken.to_string(), 1)).unwrap();
        refuses(dir.path(), &["--config", &settings], &[&taken.to_string(), "api.listen"]);
    }

    fn it_does_not_start_on_a_table_that_cannot_roll_back(db) {
        let alter = match db.backend() {
            Backend::Sqlite => return, // A file has one journal for all of its tables.
            Backend::Postgres => "ALTER TABLE call_data_history SET UNLOGGED",
            Backend::Mysql => "ALTER TABLE call_data_history ENGINE=MyISAM",
        };
        db.connect().batch_execute(alter).unwrap();
        let dir = tempfile::tempdir().unwrap();
        write_settings(dir.path(), db.url(), &key());
        refuses(dir.path(), &[], &["call_data_history", "Run: ALTER TABLE"]);
    }

    fn it_warns_of_a_collation_that_does_not_compare_bytes(db) {
        let alter = match db.backend() {
            Backend::Sqlite => return, // Text is compared by bytes, whatever the column says.
            Backend::Postgres => {
                "CREATE COLLATION lenient (provider = icu, locale = 'und-u-ks-level1', deterministic = false); \
                 ALTER TABLE call_data ALTER custom_field TYPE VARCHAR(200) COLLATE lenient"
            }
            Backend::Mysql => "ALTER TABLE call_data MODIFY custom_field VARCHAR(200) COLLATE utf8mb4_general_ci",
        };
        db.connect().batch_execute(alter).unwrap();
        let dir = tempfile::tempdir().unwrap();
        write_settings(dir.path(), db.url(), &key());
        let server = Running::start(program(dir.path(), &["serve"]));
        assert!(server.log.contains("WARN") && server.log.contains("call_data.custom_field is "), "{}", server.log);
    }

    fn readiness_follows_the_database(db) {
        let server = TestServer::start(db);
        let ready = http::get(server.ops_address, "/readyz");
        assert_eq!((ready.status, ready.body.as_str()), (200, "ready\n"));
        db.connect().batch_execute("DELETE FROM __diesel_schema_migrations").unwrap();
        let behind = http::get(server.ops_address, "/readyz");
        assert_eq!(behind.status, 503);
        assert!(behind.body.contains("callsweep-worker migrate"), "{behind:?}");
        db.connect().batch_execute(NEWER).unwrap();
        let newer = http::get(server.ops_address, "/readyz");
        assert_eq!((newer.status, newer.body.as_str()), (503, "the database schema is newer than this version\n"));
        assert_eq!(http::get(server.ops_address, "/healthz").status, 200);
        assert_eq!(http::get(server.ops_address, "/").status, 404);
    }

    fn it_does_not_start_on_a_schema_that_is_newer(db) {
        db.connect().batch_execute(NEWER).unwrap();
        let dir = tempfile::tempdir().unwrap();
        write_settings(dir.path(), db.url(), &key());
        let parts = ["it has 99990101000001", "knows up to 2026", "use the version of Callsweep that made it"];
        refuses(dir.path(), &[], &parts);
    }

    fn a_request_in_flight_is_finished_before_the_end(db) {
        let dir = tempfile::tempdir().unwrap();
        drop(TestServer::start(db));
        write_settings(dir.path(), db.url(), &key());
        let mut server = Running::start(program(dir.path(), &["serve"]));

        let timestamp = Clock::system().now().format("%Y-%m-%dT%H:%M:%SZ").to_string();
        let call = Call::new(r#"{"sessionId":"1"}"#).header("Expect", "100-continue");
        let call = call.sign_with(|signer| signer.timestamp = timestamp);
        let mut stream = http::connect(server.address);
        stream.write_all(&call.head()).unwrap();
        let mut go_on = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
        stream.read_exact(&mut go_on).unwrap();
        assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");

        server.terminate();
        let begun = Instant::now();
        while http::get(server.ops_address, "/readyz").body != "draining\n" {
            assert!(begun.elapsed() < WITHIN, "readiness was not taken back");
        }
        stream.write_all(call.body()).unwrap();
        let response = Response::parse(&http::read_to_end(&mut stream));
        assert_eq!((response.status, response.members().code.as_str()), (200, "0200000"));
        assert_eq!(server.wait().code(), Some(0));
        assert!(server.log.contains("stopped"), "{}", server.log);
    }
}

#[test]
fn it_does_not_start_on_a_schema_that_is_behind() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("empty.db"), "").unwrap();
    write_settings(dir.path(), "sqlite://empty.db", &key());
    refuses(dir.path(), &[], &["schema is behind", "callsweep-worker migrate"]);
}

#[test]
fn it_does_not_start_on_a_history_table_that_cannot_take_what_is_archived() {
    let dir = tempfile::tempdir().unwrap();
    let db = TestDatabase::new(Backend::Sqlite);
    db.connect().batch_execute("ALTER TABLE call_data ADD COLUMN agent VARCHAR(10)").unwrap();
    write_settings(dir.path(), db.url(), &key());
    refuses(dir.path(), &[], &["call_data_history is not as call_data", "column agent is missing there"]);
}

#[test]
fn it_does_not_start_without_its_database() {
    let dir = tempfile::tempdir().unwrap();
    write_settings(dir.path(), "sqlite://missing.db", &key());
    refuses(dir.path(), &[], &["missing.db"]);
    assert!(!dir.path().join("missing.db").exists());
}

#[test]
fn it_does_not_start_on_settings_that_it_does_not_know() {
    let dir = tempfile::tempdir().unwrap();
    let db = TestDatabase::new(Backend::Sqlite);
    write_settings(dir.path(), db.url(), &format!("colour = \"red\"\n{}", key()));
    refuses(dir.path(), &[], &["colour"]);
    refuses(dir.path(), &["--config", "elsewhere.toml"], &["elsewhere.toml"]);
}
