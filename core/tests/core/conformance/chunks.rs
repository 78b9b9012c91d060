//! The same numbers are removed with any chunk size and any index, and every scan ends.

use std::collections::BTreeSet;

use callsweep_core::number::{Called, CustomField, NewNumber, NumberStatus, SessionId};
use callsweep_core::run::RunState;
use callsweep_core::walk::Walk;
use callsweep_testkit::on_each_shape;
use callsweep_testkit::sample::{self, number, time};
use callsweep_testkit::tables;

use crate::support::{
    STATUSES, assert_no_violation, campaign, engine, execute, ledger_of, manual, stop_after, sweep, walk as walk_of,
    watch,
};

/// For each index: a filter that selects the numbers of [`mixed`] with id % 4 > 0.
const WALKS: [(Walk, &str); 4] = [
    (Walk::SessionId, r#"{"sessionId":"yes"}"#),
    (Walk::Called, r#"{"called":"1"}"#),
    (Walk::CustomField, r#"{"customField":"yes"}"#),
    (Walk::RecycleTime, r#"{"recycleTime":"2020-12-04 00:00:00","recycleType":"1"}"#),
];

/// Three of four match; one in five of those is removable. Many share a recycle time, in another order than their ids.
fn mixed(count: i64) -> Vec<NewNumber> {
    let one = |id: i64| {
        let yes = id % 4 > 0;
        NewNumber {
            session_id: Some(SessionId::parse(if yes { "yes" } else { "no" }).unwrap()),
            called: Called::parse(if yes { "1" } else { "2" }).unwrap(),
            custom_field: Some(CustomField::parse(if yes { "yes" } else { "no" }).unwrap()),
            recycle_time: Some(time(&format!("2020-12-{:02} 08:00:00", if yes { 4 - id * 7 % 3 } else { 5 }))),
            status: STATUSES[usize::try_from(id % 5).unwrap()],
            ..number(id)
        }
    };
    (1..=count).map(one).collect()
}

on_each_shape! {
    fn every_size_gives_the_same_result(db) {
        let mut conn = db.connect();
        let goes: BTreeSet<i64> = (1..=60).filter(|id| id % 4 > 0 && id % 5 == 0).collect();
        let mut next = 1..;
        for size in [1, 2, 3, 7, 5_000] {
            let engine = engine(db.store(), size);
            for (walk, members) in WALKS {
                let campaign = campaign(db, next.next().unwrap(), &mixed(60));
                let mut before = 0;
                let report = watch(&engine, &manual(campaign, members, true), |progress| {
                    let looked_at = progress.counts.matched - before;
                    assert!(looked_at <= i64::try_from(size).unwrap(), "{walk}: {looked_at} in a chunk of {size}");
                    before = progress.counts.matched;
                });
                assert_eq!(walk_of(&report), Some(walk));
                assert_eq!(tables::history_ids(&mut conn, campaign), goes, "{walk}, {size}");
                assert_eq!(tables::ids(&mut conn, campaign), (1..=60).filter(|id| !goes.contains(id)).collect());
                let row = ledger_of(&mut conn, &report);
                assert_eq!((row.state.as_str(), row.counts.matched, row.counts.deleted), ("succeeded", 45, 9), "{walk}, {size}");
            }
        }
    }

    fn barred_numbers_do_not_stall_a_scan(db) {
        let mut conn = db.connect();
        for (n, (walk, members)) in (1..).zip(WALKS) {
            // Everything that matches is barred, except the last number of the scan.
            let in_the_way = mixed(40).into_iter().map(|number| NewNumber { status: NumberStatus::Failed, ..number });
            let last = NewNumber { recycle_time: Some(time("2020-12-04 23:59:59")), status: NumberStatus::Waiting, ..mixed(41).remove(40) };
            let campaign = campaign(db, n, &in_the_way.chain([last]).collect::<Vec<_>>());
            let report = sweep(&engine(db.store(), 3), &manual(campaign, members, true));
            assert_eq!((report.counts.deleted, report.counts.barred.call_completed), (1, 30), "{walk}");
            assert_eq!(Vec::from_iter(tables::history_ids(&mut conn, campaign)), [41], "{walk}");
            assert!(report.chunks <= 41 / 3 + 1, "{walk}: {} chunks", report.chunks);
        }
    }

    fn a_stop_leaves_an_exact_ledger_and_the_next_run_completes(db) {
        let (engine, mut conn) = (engine(db.store(), 5), db.connect());
        for (n, (walk, members)) in (1..).zip(WALKS) {
            let numbers: Vec<_> = mixed(40).into_iter().map(|number| NewNumber { status: NumberStatus::Waiting, ..number }).collect();
            let campaign = campaign(db, n, &numbers);
            let run = manual(campaign, members, true);
            let first = stop_after(&engine, &run, 2);
            let row = ledger_of(&mut conn, &first);
            assert_eq!((row.state.as_str(), row.counts.deleted, row.chunks), ("stopped", 10, 2), "{walk}");
            assert!(row.stop_reason.is_some() && row.finished_at.is_some());
            assert_eq!(tables::history_ids(&mut conn, campaign).len(), 10, "{walk}");
            let second = sweep(&engine, &run);
            assert_eq!(ledger_of(&mut conn, &second).counts.deleted, 20, "{walk}");
            assert_eq!(tables::history_ids(&mut conn, campaign), (1..=40).filter(|id| id % 4 > 0).collect(), "{walk}");
        }
        // A stop before the first chunk changes nothing.
        let campaign = campaign(db, 9, &mixed(10));
        let report = stop_after(&engine, &manual(campaign, WALKS[0].1, true), 0);
        assert_eq!((report.chunks, report.counts.matched), (0, 0));
        assert_eq!(ledger_of(&mut conn, &report).state, RunState::Stopped);
        assert_eq!(tables::ids(&mut conn, campaign).len(), 10);
    }

    fn windows_over_the_primary_key_follow_the_density(db) {
        // Many matches, then none for a long range, then many up to the last row: windows grow and must shrink again.
        const MATCHES: i64 = 21_000;
        const DESERT: std::ops::Range<i64> = 4_000..7_000;
        let far = Some(time("2021-01-01 00:00:00"));
        let one = |id: i64| NewNumber {
            recycle_time: if DESERT.contains(&id) { far } else { number(id).recycle_time },
            status: if id % 50 == 0 { NumberStatus::Calling } else { NumberStatus::Waiting },
            call_data: None,
            ..number(id)
        };
        let (size, mut conn) = (500, db.connect());
        let campaign = campaign(db, 1, &[]);
        let numbers: Vec<_> = (1..=MATCHES + 3_000).map(one).collect();
        sample::insert(&mut conn, campaign, &numbers);
        let mut before = 0;
        let run = manual(campaign, r#"{"recycleTime":"2020-12-04 00:00:00","recycleType":"1"}"#, true);
        let report = watch(&engine(db.store(), size), &run, |progress| {
            let looked_at = progress.counts.matched - before;
            assert!(looked_at <= i64::try_from(size).unwrap(), "{looked_at} in a chunk of {size}");
            before = progress.counts.matched;
        });
        assert_eq!(walk_of(&report), Some(Walk::PrimaryKey));
        let goes = |id: &i64| !DESERT.contains(id) && id % 50 != 0;
        assert_eq!(tables::history_ids(&mut conn, campaign), (1..=MATCHES + 3_000).filter(goes).collect());
        assert_eq!(tables::ids(&mut conn, campaign), (1..=MATCHES + 3_000).filter(|id| !goes(id)).collect());
        let row = ledger_of(&mut conn, &report);
        assert_eq!((row.counts.matched, row.counts.barred.call_ongoing), (MATCHES, MATCHES / 50));
    }

    fn rows_that_moved_to_other_pages_are_removed(db) {
        const NUMBERS: i64 = 21_000;
        let mut conn = db.connect();
        let numbers: Vec<_> = (1..=NUMBERS).map(|id| NewNumber { call_data: None, ..number(id) }).collect();
        let campaign = campaign(db, 1, &numbers);
        let mut chunks = 0;
        let run = manual(campaign, r#"{"recycleTime":"2020-12-31 00:00:00","recycleType":"1"}"#, true);
        let report = watch(&engine(db.store(), 1_000), &run, |_| {
            chunks += 1;
            // The next window has been found. PostgreSQL moves updated rows to other pages.
            if chunks == 3 {
                execute(&mut conn, &format!("UPDATE call_data SET priority = 9 WHERE campaign_id = {campaign}"));
            }
        });
        assert_eq!(walk_of(&report), Some(Walk::PrimaryKey));
        assert_eq!(ledger_of(&mut conn, &report).counts.archived, NUMBERS);
        assert_eq!(tables::ids(&mut conn, campaign), BTreeSet::new());
        assert_no_violation(&db.store());
    }
}
