//! Callsweep as users run it: a process with a settings file.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callsweep_core::store::AnyConnection;
use callsweep_testkit::{TestDatabase, big};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Text};
use serde_json::Value;
use tempfile::TempDir;

/// Interval between two readings of the peak memory.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// A sweep in progress.
pub(crate) struct Sweep {
    child: Child,
    begun: Instant,
    /// Holds the settings file.
    _dir: TempDir,
}

/// The results of a completed sweep.
pub(crate) struct Swept {
    /// Wall-clock time from the start of the process to its end.
    pub(crate) seconds: f64,
    /// Time of the run alone, from its report: without connecting, and without giving space back on SQLite.
    pub(crate) run_seconds: f64,
    /// The longest chunk, including the search for its window.
    pub(crate) slowest_chunk_ms: f64,
    /// Peak memory of the process.
    pub(crate) peak_mib: f64,
}

impl Sweep {
    /// Starts to archive up to `upto`, in both campaigns.
    pub(crate) fn begin(db: &TestDatabase, upto: &str, flags: &str) -> Self {
        let dir = tempfile::tempdir().expect("makes a directory");
        let settings = format!("[database]\nurl = \"{}\"\n", db.url());
        fs::write(dir.path().join("callsweep.toml"), settings).expect("writes the settings");
        let mut command = Command::new(env!("CARGO_BIN_EXE_callsweep-worker"));
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CALLSWEEP_")) {
            command.env_remove(name);
        }
        command.args(["sweep", "--vdn", "1", "--recycle-type", "1", "--recycle-time", upto, "--archive-history"]);
        for campaign in big::campaigns() {
            command.args(["--campaign", &campaign.to_string()]);
        }
        command.args(["--execute", "--yes", "--format", "json"]).args(flags.split_whitespace());
        command.current_dir(dir.path()).env_remove("RUST_LOG").stdin(Stdio::null()).stdout(Stdio::piped());
        let begun = Instant::now();
        Self { child: command.spawn().expect("starts the program"), begun, _dir: dir }
    }

    /// Waits for its end. Its report and the ledger must show this many archived numbers.
    pub(crate) fn end(self, db: &TestDatabase, archived: i64) -> Swept {
        let (peak, status_file) = (AtomicU64::new(0), format!("/proc/{}/status", self.child.id()));
        let (output, seconds) = thread::scope(|scope| {
            scope.spawn(|| {
                // The peak only rises; the file disappears with the process.
                while let Some(kib) = peak_kib(&status_file) {
                    peak.store(kib, Ordering::Relaxed);
                    thread::sleep(POLL_INTERVAL);
                }
            });
            let output = self.child.wait_with_output().expect("waits for the program");
            (output, self.begun.elapsed().as_secs_f64())
        });
        assert!(output.status.success(), "the sweep ended with {}", output.status);
        let account: Value = serde_json::from_slice(&output.stdout).expect("the account is JSON");
        assert_eq!((&account["deleted"], &account["archived"]), (&archived.into(), &archived.into()), "{account}");
        assert_eq!(ledger(&mut db.connect(), &account["runId"]), (archived, archived, "succeeded".to_owned()));
        let campaigns = account["campaigns"].as_array().expect("campaigns");
        let slowest = campaigns.iter().map(|campaign| number(&campaign["slowestChunkMs"])).fold(0.0, f64::max);
        let peak_mib = f64::from(u32::try_from(peak.into_inner()).expect("KiB")) / 1024.0;
        Swept { seconds, run_seconds: number(&account["seconds"]), slowest_chunk_ms: slowest, peak_mib }
    }
}

/// Runs a sweep from start to end.
pub(crate) fn sweep(db: &TestDatabase, upto: &str, flags: &str, archived: i64) -> Swept {
    Sweep::begin(db, upto, flags).end(db, archived)
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

/// `VmHWM`. `None` when the process has ended.
fn peak_kib(status_file: &str) -> Option<u64> {
    let status = fs::read_to_string(status_file).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().split(' ').next()?.parse().ok()
}

/// Deleted, archived and state of the run in the ledger.
fn ledger(conn: &mut AnyConnection, run_id: &Value) -> (i64, i64, String) {
    #[derive(QueryableByName)]
    struct Run {
        #[diesel(sql_type = BigInt)]
        deleted: i64,
        #[diesel(sql_type = BigInt)]
        archived: i64,
        #[diesel(sql_type = Text)]
        state: String,
    }
    let sql = format!("SELECT deleted, archived, state FROM purge_run WHERE id = {run_id}");
    let run: Run = diesel::sql_query(sql).get_result(conn).expect("reads the ledger");
    (run.deleted, run.archived, run.state)
}
