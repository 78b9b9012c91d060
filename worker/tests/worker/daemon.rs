//! `run`: the daemon as a process, and what signals do to it.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use callsweep_core::campaign::CampaignStatus;
use callsweep_core::store::Backend;
use callsweep_core::store::schema::purge_run;
use callsweep_testkit::on_each_backend;
use callsweep_testkit::{TestDatabase, sample, tables};
use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use serde_json::{Value, json};

use crate::policies::{OLD, campaigns};
use crate::program::{Worker, says};

/// What has not happened by then will not.
const WITHIN: Duration = Duration::from_secs(60);

/// A daemon in the background. It is killed when the test fails.
struct Daemon<'a> {
    worker: &'a Worker,
    child: Child,
    log: String,
}

impl<'a> Daemon<'a> {
    /// Starts one and waits until it is ready.
    fn start(worker: &'a Worker, log: &str) -> Self {
        let file = File::create(worker.dir().join(log)).unwrap();
        let mut command = worker.command("run");
        command.env("CALLSWEEP_WORKER__OPS_LISTEN", "127.0.0.1:0").env("NO_COLOR", "1");
        let child = command.stdout(Stdio::null()).stderr(file).spawn().unwrap();
        let daemon = Self { worker, child, log: log.to_owned() };
        daemon.says("the daemon is ready");
        daemon
    }

    fn log(&self) -> String {
        fs::read_to_string(self.worker.dir().join(&self.log)).unwrap()
    }

    /// Waits until the log has this.
    #[track_caller]
    fn says(&self, text: &str) {
        wait_until(|| self.log().contains(text), || format!("{text:?} is missing in:\n{}", self.log()));
    }

    fn signal(&self, signal: &str) {
        assert!(Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// Waits for its end.
    fn code(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    fn get(&self, path: &str) -> String {
        let log = self.log();
        let address = log.split("ops_listen=").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[track_caller]
fn wait_until(mut done: impl FnMut() -> bool, otherwise: impl Fn() -> String) {
    let deadline = Instant::now() + WITHIN;
    while !done() {
        assert!(Instant::now() < deadline, "{}", otherwise());
        std::thread::yield_now();
    }
}

/// As if the policy had fired long ago: a daemon that starts now has a firing to make up.
fn fired_long_ago(db: &TestDatabase, worker: &Worker) {
    // A policy without campaigns makes no run.
    sample::campaign(&mut db.connect(), 4, CampaignStatus::Suspended);
    worker.run("sweep --policy old --execute");
    diesel::update(purge_run::table)
        .set(purge_run::request_key.eq("sweep:old:2026-01-01T00:00:00Z"))
        .execute(&mut db.connect())
        .unwrap();
}

/// A policy that has fired, and then so many numbers for its next firing.
fn due(db: &TestDatabase, numbers: i64, more: &str) -> Worker {
    let worker = Worker::on(db);
    worker.write("callsweep.toml", format!("{OLD}{more}"));
    fired_long_ago(db, &worker);
    campaigns(db, numbers);
    worker
}

fn newest(worker: &Worker) -> Value {
    worker.reports_json(0, "runs")[0].clone()
}

/// Enough chunks of one number for a signal to come between two of them.
const MANY: i64 = 10_000;

on_each_backend! {
    fn two_daemons_make_up_one_firing_and_say_so(db) {
        let worker = due(db, 10, "");
        let daemons = ["a.log", "b.log"].map(|log| Daemon::start(&worker, log));
        wait_until(|| newest(&worker)["deleted"] == json!(20), || daemons[0].log() + &daemons[1].log());
        wait_until(|| newest(&worker)["state"] == json!("succeeded"), || newest(&worker).to_string());
        assert_eq!(worker.reports_json(0, "runs").as_array().unwrap().len(), 2, "the seed and one firing");
        let said = daemons.iter().filter(|daemon| daemon.log().contains("the run has ended")).count();
        assert_eq!(said, 1);
        for daemon in daemons {
            says(&daemon.get("/healthz"), &["200 OK", "ok"]);
            let metrics = || daemon.get("/metrics");
            // The other one measures every few minutes.
            let has_fired = daemon.log().contains("the run has ended");
            wait_until(|| !has_fired || metrics().contains("callsweep_due_rows{policy=\"old\"} 0\n"), metrics);
            daemon.signal("-TERM");
            assert_eq!(daemon.code(), Some(0));
        }
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
        let worker = Worker::on(db);
        let daemon = Daemon::start(&worker, "a.log");
        daemon.says("call_data.custom_field is ");
        says(&worker.reports(0, "doctor"), &["warning  text", "call_data.custom_field is "]);
    }

    fn sigterm_finishes_the_chunk(db) {
        let worker = due(db, MANY, "chunk_size = 1");
        let daemon = Daemon::start(&worker, "a.log");
        wait_until(|| newest(&worker)["chunks"].as_i64() > Some(0) && newest(&worker)["state"] == "running", || daemon.log());
        daemon.signal("-TERM");
        daemon.says("the daemon stops");
        assert_eq!(daemon.code(), Some(0));
        let run = newest(&worker);
        assert_eq!((&run["state"], &run["stopReason"]), (&json!("stopped"), &json!("stopped by a person")));
        let archived = tables::history_ids(&mut db.connect(), 5.try_into().unwrap()).len()
            + tables::history_ids(&mut db.connect(), 6.try_into().unwrap()).len();
        assert_eq!(run["archived"], json!(archived));
    }

    fn a_daemon_takes_up_what_kill_9_left(db) {
        let worker = due(db, MANY, "chunk_size = 1");
        let daemon = Daemon::start(&worker, "a.log");
        wait_until(|| newest(&worker)["chunks"].as_i64() > Some(0) && newest(&worker)["state"] == "running", || daemon.log());
        daemon.signal("-KILL");
        assert_eq!(daemon.code(), None);
        let left = newest(&worker);
        // Its last word is half a minute old.
        let long_ago: chrono::NaiveDateTime = "2026-01-01T00:00:00".parse().unwrap();
        diesel::update(purge_run::table.filter(purge_run::state.eq("running")))
            .set(purge_run::heartbeat_at.eq(long_ago))
            .execute(&mut db.connect())
            .unwrap();
        worker.write("callsweep.toml", OLD);
        let next = Daemon::start(&worker, "b.log");
        next.says("the run has ended");
        let run = newest(&worker);
        assert_eq!((&run["id"], &run["state"], &run["archived"]), (&left["id"], &json!("succeeded"), &json!(2 * MANY)));
    }
}

#[test]
fn sighup_reloads_and_a_bad_file_keeps_the_old_settings() {
    callsweep_testkit::on(callsweep_core::store::Backend::Sqlite, |db| {
        let worker = Worker::on(db);
        worker.write("callsweep.toml", format!("{OLD}[sweep.throttle]\nquery = \"SELECT x FROM nowhere\"\n"));
        let daemon = Daemon::start(&worker, "a.log");
        daemon.says("a throttle of the policy gives no answer");
        worker.write("callsweep.toml", OLD.replace("-30d", "30d"));
        daemon.signal("-HUP");
        daemon.says("the old ones stay");
        says(&daemon.log(), &["recycle_time", "30d"]);
        worker.write("callsweep.toml", format!("{OLD}{}", OLD.replace("\"old\"", "\"other\"")));
        daemon.signal("-HUP");
        daemon.says("the settings are reloaded");
        says(&daemon.log(), &["policies=2"]);
        daemon.signal("-INT");
        assert_eq!(daemon.code(), Some(0));
    });
}

#[test]
fn systemd_is_told_when_it_is_ready_reloads_and_stops() {
    callsweep_testkit::on(callsweep_core::store::Backend::Sqlite, |db| {
        let worker = Worker::on(db);
        let path = worker.dir().join("notify");
        let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(WITHIN)).unwrap();
        let told = || {
            let mut message = [0; 1024];
            let length = socket.recv(&mut message).unwrap();
            String::from_utf8_lossy(&message[..length]).into_owned()
        };
        let mut command = worker.command("run");
        command.env("CALLSWEEP_WORKER__OPS_LISTEN", "127.0.0.1:0").env("NOTIFY_SOCKET", &path);
        command.env("WATCHDOG_USEC", "60000000").env_remove("WATCHDOG_PID");
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        assert!(told().contains("READY=1"));
        assert!(told().contains("WATCHDOG=1"));
        let kill = |signal: &str| Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        assert!(kill("-HUP").success());
        says(&told(), &["RELOADING=1", "MONOTONIC_USEC="]);
        assert!(told().contains("READY=1"));
        assert!(kill("-TERM").success());
        assert!(told().contains("STOPPING=1"));
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(0));
    });
}
