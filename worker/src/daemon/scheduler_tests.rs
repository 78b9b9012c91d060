//! The scheduler under a clock that stands still.

use std::sync::Barrier;
use std::thread;

use callsweep_core::campaign::{CampaignId, CampaignStatus};
use callsweep_core::number::NewNumber;
use callsweep_core::run::RunState;
use callsweep_core::store::runs::RunFilter;
use callsweep_core::store::schema::{purge_run, purge_run_campaign};
use callsweep_testkit::clock::ManualClock;
use callsweep_testkit::on_each_backend;
use callsweep_testkit::{TestDatabase, sample, tables};
use diesel::prelude::*;

use super::*;

const NIGHTLY: &str = "name = \"nightly\"\nschedule = \"17 2 * * *\"\nvdns = \"all\"\ncampaigns = \"all\"\n\
                       recycle_type = \"2\"\nrecycle_time = \"yesterday\"\narchive_history = 1\n";

fn settings(policies: &[String]) -> Arc<Settings> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("callsweep.toml");
    std::fs::write(&file, policies.iter().map(|policy| format!("[[sweep]]\n{policy}\n")).collect::<String>()).unwrap();
    Arc::new(Settings::load(Some(&file)).unwrap())
}

fn scheduler(db: &TestDatabase, clock: &ManualClock, policies: &[String]) -> Scheduler {
    let metrics = Arc::new(Metrics::new());
    let store = db.store_at(clock.clock());
    Scheduler::new(store, settings(policies), Stop::never(), Liveness::new(), metrics, "tester".to_owned())
}

fn nightly(more: &str) -> Vec<String> {
    vec![format!("{NIGHTLY}{more}")]
}

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn move_to(clock: &ManualClock, text: &str) {
    clock.advance(at(text) - clock.clock().now());
}

/// The firings of what was done, `None` for a run that was resumed.
fn firings(done: &[Done]) -> Vec<Option<DateTime<Utc>>> {
    done.iter().map(|done| done.firing).collect()
}

/// A campaign whose number N is due on the day N of November 2026.
fn campaign(db: &TestDatabase, id: i64) -> CampaignId {
    let mut conn = db.connect();
    let campaign = sample::campaign(&mut conn, id, CampaignStatus::Suspended);
    let due = |day: i64| NewNumber {
        recycle_time: Some(sample::time(&format!("2026-11-{day:02} 12:00:00"))),
        ..sample::number(day)
    };
    sample::insert(&mut conn, campaign, &(1..=30).map(due).collect::<Vec<_>>());
    campaign
}

fn runs_of(db: &TestDatabase) -> Vec<callsweep_core::run::Run> {
    runs::list(&mut db.connect(), &RunFilter::default()).unwrap()
}

on_each_backend! {
    fn two_daemons_do_a_firing_once(db) {
        let campaign = campaign(db, 5);
        let clock = ManualClock::at("2026-11-10T02:16:59Z");
        let mut daemons = [scheduler(db, &clock, &nightly("")), scheduler(db, &clock, &nightly(""))];
        assert!(daemons.iter_mut().all(|daemon| daemon.run_once().unwrap().is_empty()), "nothing is due");
        clock.advance(TimeDelta::seconds(1));
        let start = Barrier::new(2);
        let race = |daemon: &mut Scheduler| {
            start.wait();
            daemon.run_once().unwrap()
        };
        let done: Vec<Done> = thread::scope(|scope| {
            let threads = daemons.each_mut().map(|daemon| scope.spawn(|| race(daemon)));
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(firings(&done), [Some(at("2026-11-10T02:17:00Z"))]);
        let runs = runs_of(db);
        assert_eq!(runs.len(), 1);
        assert_eq!((runs[0].kind.as_str(), runs[0].policy.as_deref()), ("policy", Some("nightly")));
        assert_eq!(tables::history_ids(&mut db.connect(), campaign), [9].into());
        assert!(daemons.iter_mut().all(|daemon| daemon.run_once().unwrap().is_empty()), "it is done");
    }

    fn firings_that_were_missed_are_made_up_as_of_their_time(db) {
        let campaign = campaign(db, 5);
        let clock = ManualClock::at("2026-11-10T02:16:59Z");
        assert!(scheduler(db, &clock, &nightly("")).run_once().unwrap().is_empty(), "none before it was seen first");
        let mut first = scheduler(db, &clock, &nightly(""));
        clock.advance(TimeDelta::seconds(1));
        assert_eq!(first.run_once().unwrap().len(), 1);
        drop(first);
        move_to(&clock, "2026-11-20T12:00:00Z");
        assert!(scheduler(db, &clock, &nightly("catch_up = 0")).run_once().unwrap().is_empty());
        let mut next = scheduler(db, &clock, &nightly("catch_up = 3"));
        let made_up = ["18", "19", "20"].map(|day| Some(at(&format!("2026-11-{day}T02:17:00Z"))));
        assert_eq!(firings(&next.run_once().unwrap()), made_up);
        assert_eq!(tables::history_ids(&mut db.connect(), campaign), [9, 17, 18, 19].into());
        assert!(scheduler(db, &clock, &nightly("")).run_once().unwrap().is_empty(), "the ledger remembers");
    }

    fn what_came_while_it_was_busy_is_not_lost(db) {
        campaign(db, 5);
        let clock = ManualClock::at("2026-11-10T02:00:00Z");
        let mut daemon = scheduler(db, &clock, &nightly("catch_up = 0"));
        move_to(&clock, "2026-11-12T12:00:00Z");
        assert_eq!(firings(&daemon.run_once().unwrap()), [Some(at("2026-11-12T02:17:00Z"))]);
    }

    fn a_run_whose_process_died_is_resumed_before_new_firings(db) {
        let campaign = campaign(db, 5);
        let clock = ManualClock::at("2026-11-10T02:16:00Z");
        let stopped = scheduler(db, &clock, &nightly(""));
        let policy = &stopped.settings.sweep[0];
        let firing = at("2026-11-09T02:17:00Z");
        let targets = policy::targets(policy, &mut db.connect()).unwrap();
        let new = policy::new_run(policy, chrono_tz::UTC, firing, targets, "tester".to_owned()).unwrap();
        let new = NewRun { key: Some(policy::key("nightly", firing)), ..new };
        let mut control = Control {
            gate: Box::new(|_| callsweep_core::engine::Gate::Stop(callsweep_core::stop_reason::StopReason::Person)),
            ..Control::unattended()
        };
        let engine = policy::engine(policy, &stopped.settings, &stopped.store);
        let run_id = purge(&engine, &new, &mut control).unwrap().run_id;
        // As `kill -9` leaves it.
        diesel::update(purge_run::table).set(purge_run::state.eq("running")).execute(&mut db.connect()).unwrap();
        diesel::update(purge_run_campaign::table)
            .set(purge_run_campaign::state.eq("running"))
            .execute(&mut db.connect())
            .unwrap();

        let mut daemon = scheduler(db, &clock, &nightly(""));
        assert!(daemon.run_once().unwrap().is_empty(), "it may be alive");
        move_to(&clock, "2026-11-10T02:17:00Z");
        let done = daemon.run_once().unwrap();
        assert_eq!(firings(&done), [None, Some(at("2026-11-10T02:17:00Z"))]);
        assert_eq!(done[0].run_id, run_id);
        assert_eq!(tables::history_ids(&mut db.connect(), campaign), [8, 9].into());
        assert!(runs_of(db).iter().all(|run| run.state == RunState::Succeeded));
    }

    fn a_firing_waits_for_a_run_on_its_campaigns(db) {
        campaign(db, 5);
        let clock = ManualClock::at("2026-11-10T02:17:00Z");
        let hand = nightly("").remove(0).replace("nightly", "by-day").replace("17 2", "0 0");
        let mut daemon = scheduler(db, &clock, &[hand, nightly("").remove(0)]);
        move_to(&clock, "2026-11-11T00:00:00Z");
        assert_eq!(daemon.run_once().unwrap().len(), 1);
        // It is at work again, somewhere else.
        let other = runs_of(db)[0].id;
        let heartbeat = |time: DateTime<Utc>, state: &str| {
            diesel::update(purge_run::table.filter(purge_run::id.eq(other)))
                .set((purge_run::state.eq(state), purge_run::heartbeat_at.eq(time.naive_utc())))
                .execute(&mut db.connect())
                .unwrap();
        };
        diesel::update(purge_run_campaign::table.filter(purge_run_campaign::run_id.eq(other)))
            .set(purge_run_campaign::state.eq("planned"))
            .execute(&mut db.connect())
            .unwrap();
        move_to(&clock, "2026-11-11T02:17:00Z");
        heartbeat(at("2026-11-11T02:17:00Z"), "running");
        assert!(daemon.run_once().unwrap().is_empty());
        heartbeat(at("2026-11-11T02:17:00Z"), "succeeded");
        clock.advance(TimeDelta::minutes(5));
        assert_eq!(firings(&daemon.run_once().unwrap()), [Some(at("2026-11-11T02:17:00Z"))]);
    }
}

fn on_sqlite(check: impl FnOnce(&TestDatabase)) {
    callsweep_testkit::on(callsweep_core::store::Backend::Sqlite, check);
}

#[test]
fn a_firing_waits_for_its_window_and_for_its_stop_file() {
    on_sqlite(|db| {
        campaign(db, 5);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("stop");
        std::fs::write(&file, "").unwrap();
        let clock = ManualClock::at("2026-11-10T02:00:00Z");
        let more = format!("window = \"03:00-05:00\"\nstop_file = \"{}\"", file.display());
        let mut daemon = scheduler(db, &clock, &nightly(&more));
        for (time, waits_for) in [("02:17:00", "the window 03:00-05:00 (UTC)"), ("03:00:00", "the stop file")] {
            move_to(&clock, &format!("2026-11-10T{time}Z"));
            assert!(daemon.run_once().unwrap().is_empty());
            assert!(daemon.seen["nightly"].waits_for.as_ref().unwrap().contains(waits_for));
        }
        std::fs::remove_file(&file).unwrap();
        assert_eq!(firings(&daemon.run_once().unwrap()), [Some(at("2026-11-10T02:17:00Z"))]);
    });
}

#[test]
fn other_settings_begin_when_they_are_read() {
    on_sqlite(|db| {
        campaign(db, 5);
        let clock = ManualClock::at("2026-11-10T02:17:00Z");
        let mut daemon = scheduler(db, &clock, &nightly(""));
        move_to(&clock, "2026-11-10T12:00:00Z");
        let hourly = nightly("").remove(0).replace("17 2", "17 *");
        daemon.reload(settings(&[hourly.clone(), hourly.replace("nightly", "second")]));
        assert!(daemon.run_once().unwrap().is_empty(), "11:17 was no firing of theirs");
        clock.advance(TimeDelta::hours(1));
        assert_eq!(firings(&daemon.run_once().unwrap()), [Some(at("2026-11-10T12:17:00Z")); 2]);
        daemon.reload(settings(&[]));
        clock.advance(TimeDelta::hours(1));
        assert!(daemon.run_once().unwrap().is_empty());
    });
}

#[test]
fn nothing_begins_after_a_stop_and_one_bad_policy_stops_no_other() {
    on_sqlite(|db| {
        campaign(db, 5);
        let clock = ManualClock::at("2026-11-10T02:00:00Z");
        // SQLite has no replicas, so that this one cannot be looked after.
        let bad = format!("{}[sweep.throttle]\nmax_replica_lag = \"1s\"\n", NIGHTLY.replace("nightly", "bad"));
        let mut daemon = scheduler(db, &clock, &[bad, NIGHTLY.to_owned()]);
        move_to(&clock, "2026-11-10T02:17:00Z");
        daemon.stop.request();
        assert!(daemon.run_once().unwrap().is_empty());
        daemon.stop = Stop::never();
        assert!(daemon.run_once().unwrap_err().to_string().contains("max_replica_lag"));
        assert_eq!(runs_of(db).len(), 1);
        assert_eq!(runs_of(db)[0].policy.as_deref(), Some("nightly"));
    });
}
