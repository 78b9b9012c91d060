//! Archiving moves every column of a number, exactly once, or leaves the number in place.

use callsweep_core::engine::Outcome;
use callsweep_core::number::{Called, CustomField, NewNumber, SessionId};
use callsweep_testkit::clock::ManualClock;
use callsweep_testkit::on_each_shape;
use callsweep_testkit::sample::{self, number, time};
use callsweep_testkit::tables;
use chrono::TimeDelta;

use crate::support::{campaign, engine, execute, ledger_of, manual, sweep, watch};

const BATCH: &str = r#"{"customField":"batch"}"#;

/// Numbers with full columns, empty columns, and the limits of every range.
fn extremes() -> Vec<NewNumber> {
    let called = Called::parse("*#0123456789").unwrap();
    let ends = ["1000-01-01 00:00:00", "1969-12-31 23:59:59", "2038-01-19 03:14:08", "9999-12-31 23:59:59"];
    let mut numbers = vec![
        NewNumber {
            session_id: None,
            caller: None,
            custom_field: None,
            call_data: None,
            recycle_time: None,
            ..number(1)
        },
        NewNumber {
            session_id: Some(SessionId::parse(&"😀".repeat(32)).unwrap()),
            caller: Some("+".repeat(24)),
            custom_field: Some(CustomField::parse(&"推".repeat(200)).unwrap()),
            call_data: Some("é".repeat(1024)),
            ..number(2)
        },
        NewNumber { call_data: Some(" 'quoted' \"too\" \\ \n\ttail  ".to_owned()), priority: i16::MIN, ..number(3) },
        NewNumber {
            call_data: Some(String::new()),
            caller: Some(String::new()),
            priority: i16::MAX,
            ..number(i64::MAX)
        },
    ];
    let micros = TimeDelta::microseconds(999_999);
    numbers.extend((4..).zip(ends).map(|(id, end)| NewNumber { recycle_time: Some(time(end) + micros), ..number(id) }));
    numbers.into_iter().map(|number| NewNumber { called: called.clone(), ..number }).collect()
}

on_each_shape! {
    fn every_column_moves_unchanged(db) {
        let clock = ManualClock::at("2024-02-29T23:59:59Z");
        clock.advance(TimeDelta::microseconds(123_456));
        let (engine, mut conn) = (engine(db.store_at(clock.clock()), 3), db.connect());
        let campaign = campaign(db, 1, &extremes());
        let before = tables::numbers(&mut conn, campaign);
        assert_eq!(before.len(), 8);
        let report = sweep(&engine, &manual(campaign, r#"{"called":"*#0123456789"}"#, true));
        let history = tables::history(&mut conn, campaign);
        assert_eq!(history.iter().map(|row| row.number.clone()).collect::<Vec<_>>(), before);
        for row in history {
            assert_eq!((row.run_id, row.archived_at), (report.run_id, engine.store.clock().timestamp()));
        }
        assert!(tables::ids(&mut conn, campaign).is_empty());
        assert_eq!(ledger_of(&mut conn, &report).counts.archived, 8);
    }

    fn without_archive_nothing_is_in_history(db) {
        let (engine, mut conn) = (engine(db.store(), 3), db.connect());
        let campaign = campaign(db, 1, &(1..=8).map(number).collect::<Vec<_>>());
        let report = sweep(&engine, &manual(campaign, BATCH, false));
        assert_eq!(tables::history(&mut conn, campaign), []);
        assert!(tables::ids(&mut conn, campaign).is_empty());
        assert_eq!(ledger_of(&mut conn, &report).counts.deleted, 8);
    }

    fn an_id_that_was_imported_again_is_archived_again(db) {
        let (engine, mut conn) = (engine(db.store(), 5_000), db.connect());
        let campaign = campaign(db, 1, &[number(1), number(2)]);
        let first = sweep(&engine, &manual(campaign, BATCH, true));
        let again = NewNumber { called: Called::parse("42").unwrap(), ..number(1) };
        sample::insert(&mut conn, campaign, &[again]);
        let second = sweep(&engine, &manual(campaign, BATCH, true));
        assert_eq!((first.counts.archived, second.counts.archived), (2, 1));
        let history = tables::history(&mut conn, campaign);
        let kept: Vec<_> = history.iter().map(|row| (row.number.id, row.run_id, row.number.called.as_str())).collect();
        assert_eq!(kept, [
            (1, first.run_id, "13800000001"), (1, second.run_id, "42"), (2, first.run_id, "13800000002"),
        ]);
    }

    fn a_key_conflict_in_history_rolls_the_chunk_back(db) {
        let (engine, mut conn) = (engine(db.store(), 3), db.connect());
        let campaign = campaign(db, 1, &(1..=9).map(number).collect::<Vec<_>>());
        let mut other = db.connect();
        let report = watch(&engine, &manual(campaign, BATCH, true), |progress| {
            // Number 5, in the second chunk, is already in history under the same run id.
            execute(&mut other, &format!(
                "INSERT INTO call_data_history (campaign_id, id, called, status, created_at, updated_at, archived_at, run_id) \
                 SELECT campaign_id, id, 'clash', status, created_at, updated_at, created_at, {} FROM call_data \
                 WHERE campaign_id = {campaign} AND id = 5", progress.run_id
            ));
        });
        assert!(matches!(report.outcome, Outcome::Failed(_)), "{:?}", report.outcome);
        assert_eq!(Vec::from_iter(tables::ids(&mut conn, campaign)), [4, 5, 6, 7, 8, 9]);
        let history = tables::history(&mut conn, campaign);
        let kept: Vec<_> = history.iter().map(|row| (row.number.id, row.number.called.as_str())).collect();
        assert_eq!(kept, [(1, "13800000001"), (2, "13800000002"), (3, "13800000003"), (5, "clash")]);
        let row = ledger_of(&mut conn, &report);
        assert_eq!((row.state.as_str(), row.counts.archived, row.chunks), ("failed", 3, 1));
        // The next run has another id.
        assert_eq!(sweep(&engine, &manual(campaign, BATCH, true)).counts.archived, 6);
    }
}
