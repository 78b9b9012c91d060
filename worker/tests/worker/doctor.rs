//! `doctor`: what it finds, and that it shows no password.

use callsweep_core::store::Backend;
use callsweep_testkit::TestDatabase;
use callsweep_testkit::on_each_backend;
use diesel::connection::SimpleConnection as _;
use serde_json::json;
use url::Url;

use crate::program::{Worker, says};

on_each_backend! {
    fn everything_is_as_it_must_be(db) {
        let worker = Worker::on(db);
        let text = worker.reports(0, "doctor");
        for topic in ["settings", "connection", "schema", "server version", "tables", "indexes"] {
            says(&text, &[&format!("ok       {topic} ")]);
        }
        let (setting, version) = match db.backend() {
            Backend::Sqlite => ("synchronous", "SQLite 3."),
            Backend::Postgres => ("synchronous_commit", " PostgreSQL 1"),
            Backend::Mysql => ("innodb_flush_log_at_trx_commit", "MySQL/MariaDB"),
        };
        says(&text, &[setting, version]);
        assert!(!text.contains("failure"), "{text}");

        let findings = worker.reports_json(0, "doctor");
        let schema = findings.as_array().unwrap().iter().find(|finding| finding["topic"] == "schema").unwrap();
        assert_eq!(*schema, json!({ "topic": "schema", "detail": "current", "verdict": "ok" }));
    }

    fn a_missing_index_is_named(db) {
        let of = if db.backend() == Backend::Mysql { " ON call_data" } else { "" };
        db.connect().batch_execute(&format!("DROP INDEX call_data_called{of}")).unwrap();
        let text = Worker::on(db).reports(1, "doctor");
        says(&text, &["failure  indexes", "missing on call_data: call_data_called;"]);
        assert!(!text.contains("call_data_custom_field"), "{text}");
    }

    fn a_table_that_cannot_roll_back_is_named_and_the_daemon_does_not_start(db) {
        let (alter, says_so) = match db.backend() {
            Backend::Sqlite => return, // A file has one journal for all of its tables.
            Backend::Postgres => ("ALTER TABLE purge_run SET UNLOGGED", "table purge_run is UNLOGGED"),
            Backend::Mysql => ("ALTER TABLE purge_run ENGINE=Aria", "table `purge_run` has the engine Aria"),
        };
        db.connect().batch_execute(alter).unwrap();
        let worker = Worker::on(db);
        says(&worker.reports(1, "doctor"), &["failure  tables", says_so, "Run: ALTER TABLE"]);
        says(&worker.refuses(1, "run"), &[says_so, "Run: ALTER TABLE"]);
    }

    fn who_is_not_let_in_is_told_without_the_password(db) {
        if db.backend() == Backend::Sqlite {
            return;
        }
        let mut url: Url = db.url().parse().unwrap();
        url.set_username("nobody").unwrap();
        url.set_password(Some("wr0ng-passw0rd")).unwrap();
        let worker = Worker::without_settings();
        worker.write("callsweep.toml", format!("[database]\nurl = \"{url}\"\n"));
        for text in [worker.reports(1, "doctor"), worker.refuses(1, "runs")] {
            says(&text, &["cannot connect to", "nobody", "127.0.0.1"]);
            assert!(!text.contains("wr0ng-passw0rd"), "{text}");
        }
    }
}

#[test]
fn what_is_not_there_is_a_finding() {
    let db = TestDatabase::new(Backend::Sqlite);
    let worker = Worker::on(&db);
    says(&worker.reports(1, "doctor --config none.toml"), &["failure  settings", "none.toml does not exist"]);

    let worker = Worker::without_settings();
    let text = worker.reports(1, "doctor");
    says(&text, &["ok       settings", "failure  connection", "callsweep.db", "callsweep-worker migrate"]);
    assert!(!worker.dir().join("callsweep.db").exists());
}

#[test]
fn what_only_reads_works_on_a_file_that_cannot_be_written_to() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    use std::os::unix::process::CommandExt as _;

    let db = TestDatabase::new(Backend::Sqlite);
    let file = db.file().unwrap();
    let folder = file.parent().unwrap().to_owned();
    let mode = |path: &std::path::Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&file, 0o444);
    mode(&folder, 0o555);
    let worker = Worker::on(&db);
    mode(worker.dir(), 0o755);
    for words in ["runs", "doctor", "verify"] {
        let mut command = worker.command(words);
        if std::fs::metadata(&file).unwrap().uid() == 0 {
            // Whoever runs as root may write to any file: nobody may not.
            command.uid(65_534).gid(65_534);
        }
        let output = command.output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{words}: {said}");
        assert!(!said.contains("readonly") && !said.contains("unable to open"), "{words}: {said}");
    }
    mode(&folder, 0o755);
}

#[test]
fn weak_secrets_and_open_files_are_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;

    let worker = Worker::on(&TestDatabase::new(Backend::Sqlite));
    let keys = "[[api.keys]]\naccess_key = \"a\"\nsecret_key = \"change me\"\nvdns = \"all\"\nexpires = \"2020-01-01T00:00:00Z\"\n";
    let file = worker.write("callsweep.toml", keys);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let text = worker.run("doctor").stdout;
    says(
        &text,
        &[
            "warning  security",
            "is easy to guess",
            "openssl rand -base64 32",
            "has expired",
            "can be read by every user",
        ],
    );
    assert!(!text.contains("change me"), "{text}");
}
