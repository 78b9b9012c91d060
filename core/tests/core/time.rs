//! Clocks that step or disagree, servers in other time zones, and the limits of the calendar.

use std::sync::mpsc;
use std::thread;

use callsweep_core::bounds::Bounds;
use callsweep_core::clock::Clock;
use callsweep_core::engine::Error;
use callsweep_core::engine::{Control, Outcome, Progress, purge, resume};
use callsweep_core::number::NewNumber;
use callsweep_core::store::{Backend, StoreError};
use callsweep_testkit::on_each_backend;
use callsweep_testkit::sample::{number, time};
use callsweep_testkit::tables;
use chrono::TimeDelta;

use crate::support::{
    assert_no_violation, campaign, engine, execute, ledger, ledger_of, manual, preview_of, sweep, watch,
};

const DUE: &str = r#"{"recycleTime":"2020-12-31 00:00:00","recycleType":"1"}"#;

fn at(id: i64, recycle_time: &str) -> NewNumber {
    NewNumber { recycle_time: Some(time(recycle_time)), ..number(id) }
}

on_each_backend! {
    fn a_clock_that_steps_back_and_forth_changes_no_count(db) {
        let mut conn = db.connect();
        let campaign = campaign(db, 1, &(1..=200).map(number).collect::<Vec<_>>());
        // Each reading is up to a day off, in either direction.
        let clock = Clock::from_fn(|| Clock::system().now() + TimeDelta::seconds(rand::random_range(-86_400..=86_400)));
        let report = watch(&engine(db.store_at(clock), 7), &manual(campaign, DUE, true), |_| ());
        assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
        assert_eq!(ledger_of(&mut conn, &report).counts.archived, 200);
        assert_eq!(tables::history_ids(&mut conn, campaign).len(), 200);
        assert_no_violation(&db.store());
    }

    fn a_host_whose_clock_is_ahead_takes_over_and_the_other_stops(db) {
        let mut conn = db.connect();
        let campaign = campaign(db, 1, &(1..=200).map(number).collect::<Vec<_>>());
        let mut here = engine(db.store(), 7);
        here.pace.lanes = 2.try_into().unwrap();
        let ahead = Clock::from_fn(|| Clock::system().now() + TimeDelta::hours(1));
        let there = engine(db.store_at(ahead), 7);
        let (told, telling) = mpsc::channel();
        let (taken, taking) = mpsc::channel::<()>();
        let run = manual(campaign, DUE, true);
        let (mine, theirs) = thread::scope(|scope| {
            let mine = scope.spawn(move || {
                let wait_after_the_fifth = |now: &Progress| {
                    if now.chunks == 5 && now.chunk.is_some() {
                        told.send(now.run_id).unwrap();
                        taking.recv().unwrap();
                    }
                };
                let mut control = Control { progress: Box::new(wait_after_the_fifth), ..Control::unattended() };
                purge(&here, &run, &mut control).unwrap()
            });
            // By this host's clock the run has been dead for an hour.
            let run_id = telling.recv().unwrap();
            let theirs = resume(&there, run_id, Bounds::default(), &mut Control::unattended()).unwrap();
            taken.send(()).unwrap();
            (mine.join().unwrap(), theirs)
        });
        assert!(matches!(theirs.outcome, Outcome::Succeeded), "{:?}", theirs.outcome);
        assert!(matches!(mine.outcome, Outcome::Failed(Error::Store(StoreError::RunLost(_)))), "{:?}", mine.outcome);
        let row = ledger(&mut conn, theirs.run_id);
        assert_eq!((row.state.as_str(), row.counts.archived), ("succeeded", 200));
        assert_eq!(tables::history_ids(&mut conn, campaign).len(), 200);
        assert_no_violation(&db.store());
    }

    fn a_server_in_another_time_zone_compares_the_same_times(db) {
        let mut conn = db.connect();
        // A time zone with an offset of 5 hours and 45 minutes, for every new session.
        match db.backend() {
            Backend::Sqlite => {}
            Backend::Postgres => {
                let here = "(SELECT 'ALTER DATABASE ' || current_database() || ' SET timezone TO ''Asia/Kathmandu''')";
                execute(&mut conn, &format!("DO $$ BEGIN EXECUTE {here}; END $$"));
            }
            Backend::Mysql => execute(&mut conn, "SET SESSION time_zone = '+05:45'"),
        }
        let numbers = [at(1, "2020-12-04 17:56:59"), at(2, "2020-12-04 17:57:00"), at(3, "2020-12-04 23:59:59"), at(4, "2020-12-05 00:00:00")];
        let campaign = campaign(db, 1, &numbers);
        let store = db.store();
        if db.backend() == Backend::Mysql {
            execute(&mut store.connection().unwrap(), "SET SESSION time_zone = '+05:45'");
        }
        let engine = engine(store, 1);
        for (recycle_type, expected) in [("3", 1), ("2", 3), ("1", 3)] {
            let members = format!(r#"{{"recycleTime":"2020-12-04 17:57:00","recycleType":"{recycle_type}"}}"#);
            let preview = preview_of(&engine, &manual(campaign, &members, true), false).unwrap().unwrap();
            assert_eq!(preview.removable, expected, "recycleType {recycle_type}");
        }
        sweep(&engine, &manual(campaign, r#"{"recycleTime":"2020-12-04 00:00:00","recycleType":"1"}"#, true));
        let history = tables::history(&mut conn, campaign);
        let times = history.iter().map(|row| row.number.recycle_time.unwrap().to_string()).collect::<Vec<_>>();
        assert_eq!(times, ["2020-12-04 17:56:59", "2020-12-04 17:57:00", "2020-12-04 23:59:59"]);
    }

    fn leap_days_and_the_last_second_of_the_calendar(db) {
        let numbers = [
            at(1, "2024-02-28 23:59:59"),
            at(2, "2024-02-29 00:00:00"),
            at(3, "2024-02-29 23:59:59"),
            at(4, "2024-03-01 00:00:00"),
            at(5, "9999-12-31 00:00:00"),
            at(6, "9999-12-31 23:59:59"),
        ];
        let campaign = campaign(db, 1, &numbers);
        let engine = engine(db.store(), 1);
        for (members, expected) in [
            (r#"{"recycleTime":"2024-02-29 12:00:00","recycleType":"2"}"#, 2),
            (r#"{"recycleTime":"2024-02-29 12:00:00","recycleType":"1"}"#, 3),
            (r#"{"recycleTime":"9999-12-31 23:59:59","recycleType":"3"}"#, 1),
            (r#"{"recycleTime":"9999-12-31 23:59:59","recycleType":"2"}"#, 2),
            (r#"{"recycleTime":"9999-12-31 00:00:00","recycleType":"1"}"#, 6),
            (r#"{"recycleTime":"0001-01-01 00:00:00","recycleType":"1"}"#, 0),
        ] {
            let preview = preview_of(&engine, &manual(campaign, members, true), false).unwrap().unwrap();
            assert_eq!(preview.removable, expected, "{members}");
        }
        let all = r#"{"recycleTime":"9999-12-31 23:59:59","recycleType":"1"}"#;
        assert_eq!(sweep(&engine, &manual(campaign, all, true)).counts.archived, 6);
    }
}
