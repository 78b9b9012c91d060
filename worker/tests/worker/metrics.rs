//! `--metrics-file`: the metrics of a single run.

use std::os::unix::fs::PermissionsExt as _;

use callsweep_testkit::on_each_backend;

use crate::policies::{OLD, campaigns};
use crate::program::{Worker, says};

on_each_backend! {
    fn a_run_writes_its_metrics_at_once(db) {
        campaigns(db, 10);
        let worker = Worker::on(db);
        worker.write("callsweep.toml", OLD);
        let read = || std::fs::read_to_string(worker.dir().join("a.prom")).unwrap();

        worker.reports(0, "sweep --vdn 1 --campaign 5 --called 13800000001 --execute --metrics-file a.prom");
        says(&read(), &["callsweep_rows_deleted_total{policy=\"\"} 1\n", "callsweep_rows_archived_total{policy=\"\"} 0\n"]);

        worker.write("callsweep.toml", format!("{OLD}max_rows = 5\n"));
        worker.reports(7, "sweep --policy old --execute --metrics-file a.prom");
        let refused = read();
        says(
            &refused,
            &[
                "callsweep_rows_deleted_total{policy=\"old\"} 0\n",
                "callsweep_due_rows{policy=\"old\"} 19\n",
                "callsweep_oldest_due_timestamp_seconds{policy=\"old\"} 1607104620.0\n",
                "callsweep_backlog_days{policy=\"old\"} +Inf\n",
            ],
        );
        assert!(!refused.contains("callsweep_last_success_timestamp_seconds{"), "it was refused: {refused}");

        worker.write("callsweep.toml", OLD);
        worker.reports(0, "sweep --policy old --execute --metrics-file a.prom");
        let done = read();
        says(
            &done,
            &[
                "callsweep_rows_archived_total{policy=\"old\"} 19\n",
                "callsweep_chunks_total{policy=\"old\"} 2\n",
                "callsweep_chunk_seconds_count 2\n",
                "callsweep_run_in_progress{policy=\"old\"} 0\n",
                "callsweep_last_success_timestamp_seconds{policy=\"old\"} ",
                "callsweep_due_rows{policy=\"old\"} 0\n",
                "callsweep_backlog_days{policy=\"old\"} 0.0\n",
            ],
        );
        let files = std::fs::read_dir(worker.dir()).unwrap().count();
        assert_eq!(files, 2, "callsweep.toml and a.prom, and nothing half-written");
    }
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    callsweep_testkit::on(callsweep_core::store::Backend::Sqlite, |db| {
        campaigns(db, 1);
        let worker = Worker::on(db);
        for file in ["no/where.prom", "."] {
            let words = format!("sweep --vdn 1 --campaign 5 --custom-field batch --execute --metrics-file {file}");
            says(&worker.refuses(2, &words), &["--metrics-file", file, "directory"]);
        }
        assert_eq!(worker.reports_json(0, "runs"), serde_json::json!([]));
    });
}

#[test]
fn a_prepared_link_is_not_followed() {
    callsweep_testkit::on(callsweep_core::store::Backend::Sqlite, |db| {
        campaigns(db, 1);
        let worker = Worker::on(db);
        let victim = worker.write("victim", "mine");
        // A shell and the program that it becomes have the same process id.
        let script = format!(
            "ln -s victim a.prom; ln -s victim a.prom.$$.new; exec {} sweep --vdn 1 --campaign 5 --called 1 --execute \
             --metrics-file a.prom",
            env!("CARGO_BIN_EXE_callsweep-worker")
        );
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script]).current_dir(worker.dir()).env("CALLSWEEP_DATABASE__URL", db.url());
        assert_eq!(command.output().unwrap().status.code(), Some(3));
        assert_eq!(std::fs::read_to_string(victim).unwrap(), "mine");
        let metrics = std::fs::symlink_metadata(worker.dir().join("a.prom")).unwrap();
        assert!(metrics.is_file(), "the link itself is replaced");
        // The collector runs as another user.
        assert_eq!(metrics.permissions().mode() & 0o444, 0o444);
    });
}
