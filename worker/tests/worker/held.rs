//! Sweeps that are held: by throttles, by people, by another sweep's lease.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Child;
use std::time::{Duration, Instant};

use callsweep_core::campaign::CampaignStatus;
use callsweep_core::number::NewNumber;
use callsweep_core::store::Backend;
use callsweep_testkit::on_each_backend;
use callsweep_testkit::{TestDatabase, sample, tables};
use diesel::connection::SimpleConnection as _;
use serde_json::Value;

use crate::program::{Ran, Worker, says};

/// What has not come by then will not come.
const WITHIN: Duration = Duration::from_secs(60);
const SWEEP: &str = "sweep --vdn 1 --campaign 5 --custom-field batch --archive-history --execute --chunk-size 1";

fn campaign(db: &TestDatabase, numbers: i64) {
    let mut conn = db.connect();
    let campaign = sample::campaign(&mut conn, 5, CampaignStatus::Suspended);
    sample::insert(&mut conn, campaign, &(1..=numbers).map(sample::number).collect::<Vec<NewNumber>>());
}

fn left(db: &TestDatabase) -> usize {
    tables::ids(&mut db.connect(), 5.try_into().unwrap()).len()
}

/// Looks at the newest run until it is as wanted.
fn until(worker: &Worker, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + WITHIN;
    loop {
        let run = worker.reports_json(0, "runs")[0].clone();
        if !run.is_null() && is_so(&run) {
            return run;
        }
        assert!(Instant::now() < deadline, "it never came that {what}: {run}");
    }
}

fn ended(child: Child, code: i32) -> Ran {
    let ran = Ran::read(child);
    assert_eq!(ran.code, Some(code), "{ran:?}");
    ran
}

/// Makes the newest run look as if its process had died a minute ago.
fn bury(db: &TestDatabase) {
    db.connect()
        .batch_execute("UPDATE purge_run SET heartbeat_at = '2020-01-01 00:00:00' WHERE state <> 'succeeded'")
        .unwrap();
}

on_each_backend! {
    fn a_flag_file_holds_and_lets_go(db) {
        campaign(db, 20);
        let worker = Worker::on(db);
        let flag = worker.write("hold", "");
        let child = worker.start(&format!("{SWEEP} --throttle-file hold"));
        let held = until(&worker, "the run is throttled", |run| run["state"] == "throttled");
        assert_eq!((&held["throttledBy"], left(db)), (&"the flag file hold".into(), 20));
        std::fs::remove_file(flag).unwrap();
        let ran = ended(child, 0);
        says(&ran.stderr, &["throttled, held by the flag file hold", "running"]);
        let run = worker.reports_json(0, &format!("runs {}", held["id"]));
        assert_eq!((&run["state"], &run["deleted"], &run["throttledBy"]), (&"succeeded".into(), &20.into(), &Value::Null));
        assert!(run["campaigns"][0]["throttledMs"].as_i64() > Some(0), "{run}");
    }

    fn a_query_holds_above_its_maximum(db) {
        campaign(db, 3);
        let worker = Worker::on(db);
        let held = worker.run(&format!("{SWEEP} --throttle-query 'SELECT 5' --throttle-query-max 4 --max-duration 1s"));
        assert_eq!(held.code, Some(10), "{held:?}");
        says(&held.stdout, &["stopped", "held by the throttle query above 4", "sweep --resume "]);
        assert_eq!(left(db), 3);
        assert_eq!(worker.reports_json(0, "runs").as_array().unwrap().len(), 1);
        says(&worker.reports(0, &format!("{SWEEP} --throttle-query 'SELECT 5' --throttle-query-max 5")), &["3 deleted"]);
    }

    fn a_throttle_that_cannot_be_asked_is_refused_before_the_run(db) {
        campaign(db, 3);
        let worker = Worker::on(db);
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for throttle in [
            "--throttle-query 'SELECT x FROM nowhere'".to_owned(),
            "--throttle-query ''".to_owned(),
            "--throttle-http htp://127.0.0.1/go".to_owned(),
            "--throttle-http 'not an address'".to_owned(),
            format!("--throttle-http http://{nobody}/go"),
        ] {
            says(&worker.refuses(2, &format!("{SWEEP} {throttle}")), &["cannot be asked", "Nothing was begun"]);
        }
        assert_eq!(worker.reports_json(0, "runs"), serde_json::json!([]));
        assert_eq!(left(db), 3);
    }

    fn an_address_holds_until_it_answers_well(db) {
        campaign(db, 3);
        let worker = Worker::on(db);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/go", listener.local_addr().unwrap());
        let child = worker.start(&format!("{SWEEP} --throttle-http {url}"));
        // The first answer is that to the check before the run.
        for status in ["503 Busy", "503 Busy", "200 OK"] {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(stream.read(&mut [0; 1024]).unwrap() > 0);
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        }
        drop(listener);
        // Later questions find nobody, and the run is held again; a person ends it.
        let run = until(&worker, "the run has gone on", |run| run["chunks"].as_i64() > Some(0) || run["state"] == "succeeded");
        if run["state"] != "succeeded" {
            until(&worker, "the run is over or held", |run| run["state"] == "succeeded" || run["state"] == "throttled");
            worker.run(&format!("runs {} cancel", run["id"]));
        }
        says(&Ran::read(child).stderr, &["which answers 503"]);
    }

    fn what_the_database_knows_of_replicas(db) {
        campaign(db, 3);
        let worker = Worker::on(db);
        let words = format!("{SWEEP} --max-replica-lag 10s --max-running-queries 1000");
        match db.backend() {
            Backend::Postgres => says(&worker.reports(0, &words), &["3 deleted"]),
            Backend::Mysql => says(&worker.refuses(2, &words), &["replicas' URLs", "--replica URL"]),
            Backend::Sqlite => says(&worker.refuses(2, &words), &["SQLite has no replicas"]),
        }
        if db.backend() == Backend::Mysql {
            // A server that replicates nothing is no replica in order.
            let held = worker.run(&format!("{words} --replica {} --max-duration 1s", db.url()));
            assert_eq!(held.code, Some(10), "{held:?}");
            says(&held.stdout, &["lag of replica 1: it is not replicating"]);
        }
    }

    fn a_person_pauses_sets_resumes_and_cancels_through_the_ledger(db) {
        campaign(db, 20_000);
        let worker = Worker::on(db);
        let child = worker.start(SWEEP);
        let id = until(&worker, "the run has begun", |run| run["chunks"].as_i64() > Some(0))["id"].clone();
        let asked = worker.reports(0, &format!("runs {id} pause --wait"));
        says(&asked, &[&format!("Run {id} was asked to pause: it is paused."), "state            paused"]);
        let paused = until(&worker, "the run is paused", |run| run["state"] == "paused");
        assert!(paused["throttledBy"].as_str().unwrap().starts_with("paused by "), "{paused}");
        let chunks = paused["chunks"].clone();
        says(&worker.reports(0, &format!("runs {id} set max_chunk=3 sleep_ratio=0.5")), &["pace set to", "max_chunk"]);
        assert_eq!(worker.reports_json(0, &format!("runs {id}"))["chunks"], chunks, "a paused run works");
        says(&worker.reports(0, &format!("runs {id} resume")), &["was asked to resume"]);
        until(&worker, "the run goes on", |run| run["state"] == "running" && run["chunks"] != chunks);
        says(&worker.refuses(2, &format!("runs {id} set")), &["set takes changes"]);
        says(&worker.refuses(2, &format!("runs {id} set max_chunk=3 --wait")), &["--wait goes with"]);
        says(&worker.refuses(2, &format!("runs {id} set speed=1")), &["target_chunk=TIME"]);
        says(&worker.reports(0, &format!("runs {id} cancel --wait")), &["was asked to cancel: it is stopped."]);
        let ran = ended(child, 4);
        says(&ran.stdout, &["stopped (cancelled by "]);
        let run = worker.reports_json(0, &format!("runs {id}"));
        assert_eq!((&run["state"], run["deleted"].as_i64()), (&"stopped".into(), Some(20_000 - i64::try_from(left(db)).unwrap())));
        // Nobody is there to listen now.
        says(&worker.refuses(2, &format!("runs {id} pause")), &["is stopped", "sweep --resume"]);
        // The cancel is spent; what was set stays set, and is set otherwise while the run goes.
        worker.write("hold", "");
        let child = worker.start(&format!("sweep --resume {id} --throttle-file hold"));
        until(&worker, "the resumed run is throttled", |run| run["state"] == "throttled");
        worker.reports(0, &format!("runs {id} set max_chunk=5000 sleep_ratio=0"));
        std::fs::remove_file(worker.dir().join("hold")).unwrap();
        says(&ended(child, 0).stdout, &["succeeded", " 20,000 deleted"]);
    }

    fn a_lease_keeps_the_second_sweep_off_and_ends_with_its_holder(db) {
        campaign(db, 20);
        let worker = Worker::on(db);
        worker.write("hold", "");
        let mut child = worker.start(&format!("{SWEEP} --throttle-file hold"));
        let held = until(&worker, "the run is throttled", |run| run["state"] == "throttled");
        let second = worker.run("sweep --vdn 1 --campaign 5 --session-id s7 --execute");
        assert_eq!(second.code, Some(8), "{second:?}");
        says(&second.stdout, &["refused", &format!("locked by run {} of ", held["id"])]);
        // Among several it is a failure in part: nobody has decided that it is to stay as it is.
        sample::campaign(&mut db.connect(), 6, CampaignStatus::Suspended);
        let several = worker.run("sweep --vdn 1 --campaign 6 --campaign 5 --session-id s7 --execute");
        assert_eq!(several.code, Some(6), "{several:?}");
        says(&several.stdout, &["failed", "campaign 5 is locked by run"]);
        child.kill().unwrap();
        child.wait().unwrap();
        says(&worker.refuses(2, &format!("sweep --resume {}", held["id"])), &["cannot be resumed: it is throttled", "considered dead"]);
        bury(db);
        says(&worker.reports(0, "sweep --vdn 1 --campaign 5 --session-id s7 --execute"), &[" 1 deleted"]);
        let run = worker.reports_json(0, &format!("runs {}", held["id"]));
        assert_eq!((&run["state"], &run["stopReason"]), (&"interrupted".into(), &"its process stopped reporting".into()));
        says(&worker.reports(0, &format!("sweep --resume {}", held["id"])), &["succeeded", " 19 deleted"]);
        says(&worker.refuses(2, &format!("sweep --resume {}", held["id"])), &["nothing remains to be done"]);
        assert_eq!(left(db), 0);
    }
}
