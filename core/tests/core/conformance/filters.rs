//! Every filter, alone and combined, matches exactly its value, also among similar values.

use callsweep_core::number::{Called, CustomField, NewNumber, SessionId};
use callsweep_testkit::on_each_shape;
use callsweep_testkit::sample::{number, time};
use callsweep_testkit::tables;
use chrono::TimeDelta;

use crate::support::{campaign, engine, manual, sweep};

/// The four filters as request members. Filter n selects the numbers whose id has bit n set.
const FILTERS: [&str; 4] = [
    r#""sessionId":"s-yes""#,
    r#""called":"1001""#,
    r#""customField":"yes""#,
    r#""recycleTime":"2020-12-04 17:57:00","recycleType":"2""#,
];

/// Numbers 0 to 15: bit n of the id says whether filter n selects the number.
fn numbers() -> Vec<NewNumber> {
    let one = |id: i64| NewNumber {
        session_id: Some(SessionId::parse(if id & 1 > 0 { "s-yes" } else { "s-no" }).unwrap()),
        called: Called::parse(if id & 2 > 0 { "1001" } else { "10010" }).unwrap(),
        custom_field: Some(CustomField::parse(if id & 4 > 0 { "yes" } else { "no" }).unwrap()),
        recycle_time: Some(time(if id & 8 > 0 { "2020-12-04 08:00:00" } else { "2020-12-05 08:00:00" })),
        ..number(id)
    };
    (0..16).map(one).collect()
}

on_each_shape! {
    fn every_combination_removes_exactly_its_matches(db) {
        let (engine, mut conn) = (engine(db.store(), 5_000), db.connect());
        let neighbour = campaign(db, 100, &numbers());
        for filters in 1..16_i64 {
            let campaign = campaign(db, filters, &numbers());
            let members: Vec<&str> = (0..4).filter(|n| filters & (1 << n) > 0).map(|n| FILTERS[n]).collect();
            let report = sweep(&engine, &manual(campaign, &format!("{{{}}}", members.join(",")), filters % 2 == 0));
            let stay: Vec<i64> = (0..16).filter(|id| id & filters != filters).collect();
            assert_eq!(Vec::from_iter(tables::ids(&mut conn, campaign)), stay, "{members:?}");
            assert_eq!(report.counts.deleted, 16 - i64::try_from(stay.len()).unwrap(), "{members:?}");
        }
        assert_eq!(tables::ids(&mut conn, neighbour).len(), 16);
        assert!(tables::history_ids(&mut conn, neighbour).is_empty());
    }

    fn text_matches_only_identical_code_points(db) {
        let longest = "😀".repeat(32);
        let texts = [
            "abc", "ABC", "Abc", "abc ", " abc", "abc  ", "ａｂｃ", "ab", "abcd", "äbc", "a\u{308}bc", "Äbc", "straße",
            "strasse", "😀", "😁", "👍", "👍🏽", "%", "_", "a%", "a_c", "*", "'", "''", "\"", "\\", "\\\\", "\\'", "1", "01", "1.0",
            "null", "--", ";", "ǆ", "ı", "i", "İ", "ﬁ", "fi", "推荐", "推薦", "\u{200b}abc", "abc\u{a0}", longest.as_str(),
        ];
        let numbers: Vec<NewNumber> = (0..)
            .zip(texts)
            .map(|(id, text)| NewNumber {
                session_id: Some(SessionId::parse(text).unwrap()),
                custom_field: Some(CustomField::parse(text).unwrap()),
                ..number(id)
            })
            .collect();
        let (engine, mut conn) = (engine(db.store(), 5_000), db.connect());
        let (by_session, by_custom) = (campaign(db, 1, &numbers), campaign(db, 2, &numbers));
        for (id, text) in (0..).zip(texts) {
            for (campaign, member) in [(by_session, "sessionId"), (by_custom, "customField")] {
                let run = manual(campaign, &serde_json::json!({ member: text }).to_string(), false);
                assert_eq!(sweep(&engine, &run).counts.deleted, 1, "{member} {text:?}");
                let left = tables::ids(&mut conn, campaign);
                assert_eq!(left.first().copied().unwrap_or(id + 1), id + 1, "{member} {text:?} removed another number");
            }
        }
    }

    fn an_empty_column_matches_nothing(db) {
        let bare = NewNumber { session_id: None, custom_field: None, recycle_time: None, ..number(1) };
        let campaign = campaign(db, 1, &[bare]);
        for members in [
            r#"{"sessionId":"s1"}"#,
            r#"{"customField":"batch"}"#,
            r#"{"recycleTime":"2020-12-04 17:57:00","recycleType":"1"}"#,
            r#"{"recycleTime":"9999-12-31 23:59:59","recycleType":"1"}"#,
            r#"{"recycleTime":"2020-12-04 17:57:00","recycleType":"2"}"#,
            r#"{"called":"13800000001","customField":"batch"}"#,
        ] {
            let report = sweep(&engine(db.store(), 5_000), &manual(campaign, members, true));
            assert_eq!((report.counts.matched, report.counts.deleted), (0, 0), "{members}");
        }
        assert_eq!(tables::ids(&mut db.connect(), campaign).len(), 1);
    }

    fn days_and_seconds_are_half_open(db) {
        // Microseconds: the precision that all three backends store.
        let times = [
            "1000-01-01 00:00:00.000000", "1970-01-01 00:00:00.000000", "2020-02-29 23:59:59.999999",
            "2020-12-03 23:59:59.000000", "2020-12-03 23:59:59.999999", "2020-12-04 00:00:00.000000",
            "2020-12-04 00:00:00.000001", "2020-12-04 17:56:59.000000", "2020-12-04 17:56:59.999999",
            "2020-12-04 17:57:00.000000", "2020-12-04 17:57:00.000001", "2020-12-04 17:57:00.500000",
            "2020-12-04 17:57:00.999999", "2020-12-04 17:57:01.000000", "2020-12-04 23:59:59.000000",
            "2020-12-04 23:59:59.999999", "2020-12-05 00:00:00.000000", "2020-12-05 00:00:00.000001",
            "9999-12-30 23:59:59.999999", "9999-12-31 00:00:00.000000", "9999-12-31 23:59:59.000000",
            "9999-12-31 23:59:59.999999",
        ];
        let stored = |text: &str| time(&text[..19]) + TimeDelta::microseconds(text[20..].parse().unwrap());
        let mut numbers: Vec<NewNumber> =
            (0..).zip(times).map(|(id, text)| NewNumber { recycle_time: Some(stored(text)), ..number(id) }).collect();
        numbers.push(NewNumber { recycle_time: None, ..number(99) });
        let asked = [
            "2020-12-04 17:57:00", "2020-12-04 17:56:59", "2020-12-04 00:00:00", "2020-12-04 23:59:59",
            "2020-12-03 23:59:59", "2020-02-29 23:59:59", "2020-02-28 00:00:00", "1970-01-01 00:00:00",
            "9999-12-31 23:59:59", "9999-12-31 00:00:00", "9999-12-30 12:00:00",
        ];
        let (engine, mut conn) = (engine(db.store(), 5_000), db.connect());
        let mut next = 1..;
        for asked in asked {
            for recycle_type in ["1", "2", "3"] {
                let campaign = campaign(db, next.next().unwrap(), &numbers);
                let members = format!(r#"{{"recycleTime":"{asked}","recycleType":"{recycle_type}"}}"#);
                sweep(&engine, &manual(campaign, &members, true));
                // Compared as text, so that the test shares no date arithmetic with the code under test.
                let goes = |text: &str| match recycle_type {
                    "1" => text[..10] <= asked[..10],
                    "2" => text[..10] == asked[..10],
                    _ => text[..19] == *asked,
                };
                let gone: Vec<i64> = (0..).zip(times).filter(|(_, text)| goes(text)).map(|(id, _)| id).collect();
                assert_eq!(Vec::from_iter(tables::history_ids(&mut conn, campaign)), gone, "{members}");
                assert!(tables::ids(&mut conn, campaign).contains(&99), "{members}");
            }
        }
    }
}
