//! `migrate`, and commands on a schema that is behind or newer.

use std::os::unix::fs::PermissionsExt as _;

use callsweep_core::store::migrations;
use callsweep_testkit::on_each_backend;
use diesel::connection::SimpleConnection as _;
use serde_json::json;

use crate::program::{Worker, says};

on_each_backend! {
    fn creates_the_tables_once(db) {
        migrations::revert_all(&mut db.connect()).unwrap();
        let worker = Worker::on(db);
        says(&worker.reports(0, "migrate"), &["applied 2026-11-24-000001_create_tables"]);
        says(&worker.reports(0, "migrate"), &["the schema is already current"]);
        assert_eq!(worker.reports_json(0, "migrate")["applied"], json!([]));
        says(&worker.reports(0, "runs"), &["no runs"]);
    }

    fn other_commands_refuse_a_schema_that_is_behind(db) {
        migrations::revert_all(&mut db.connect()).unwrap();
        let worker = Worker::on(db);
        worker.write("numbers.csv", "called\n138\n");
        for command in [
            "import numbers.csv --vdn 1 --create-campaign spring",
            "sweep --vdn 1 --campaign 5 --called 1",
            "sweep --vdn 1 --campaign 5 --called 1 --execute",
            "runs",
            "runs 1",
        ] {
            says(&worker.refuses(1, command), &["behind", "callsweep-worker migrate"]);
        }
        says(&worker.reports(1, "doctor"), &["failure  schema", "callsweep-worker migrate"]);
    }

    fn every_command_refuses_a_schema_that_is_newer(db) {
        db.connect().batch_execute("INSERT INTO __diesel_schema_migrations (version) VALUES ('99990101000001')").unwrap();
        let worker = Worker::on(db);
        worker.write("numbers.csv", "called\n138\n");
        let newer = ["it has 99990101000001", "knows up to 2026", "use the version of Callsweep that made it"];
        for command in [
            "migrate",
            "import numbers.csv --vdn 1 --create-campaign spring",
            "sweep --vdn 1 --campaign 5 --called 1",
            "sweep --vdn 1 --campaign 5 --called 1 --execute",
            "sweep --resume 1",
            "runs",
            "runs 1",
            "runs 1 pause",
            "restore 1 --execute",
            "verify",
            "prune-history --older-than 90d --execute",
            "run",
        ] {
            says(&worker.refuses(1, command), &newer);
        }
        says(&worker.reports(1, "doctor"), &["failure  schema"]);
        says(&worker.reports(1, "doctor"), &newer);
    }
}

#[test]
fn makes_a_missing_sqlite_file_and_nothing_else_does() {
    let worker = Worker::without_settings();
    let file = worker.dir().join("callsweep.db");
    says(&worker.refuses(1, "runs"), &["callsweep.db", "callsweep-worker migrate"]);
    assert!(!file.exists());
    let migrated = worker.reports_json(0, "migrate");
    assert_eq!(migrated["backend"], "sqlite");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(file.exists() && !migrated["applied"].as_array().unwrap().is_empty());
}
