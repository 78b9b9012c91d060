//! A preview (dry run) reports what the run would remove, and changes nothing.

use callsweep_core::campaign::{CampaignId, CampaignStatus};
use callsweep_core::engine::Engine;
use callsweep_core::engine::Error;
use callsweep_core::engine::preview::Preview;
use callsweep_core::number::{NewNumber, mask};
use callsweep_core::rules::OngoingTask;
use callsweep_core::run::NewRun;
use callsweep_core::store::runs::{self, RunFilter};
use callsweep_testkit::on_each_shape;
use callsweep_testkit::sample::{self, number, numbers};
use callsweep_testkit::tables;

use crate::support::{STATUSES, campaign, engine, manual, preview_of, sweep, walk};

/// One filter for each index, and some combinations.
const MEMBERS: [&str; 8] = [
    r#"{"sessionId":"s7"}"#,
    r#"{"called":"13800000001"}"#,
    r#"{"customField":"batch-1"}"#,
    r#"{"recycleTime":"2020-12-04 17:57:00","recycleType":"1"}"#,
    r#"{"recycleTime":"2020-12-04 17:57:00","recycleType":"2"}"#,
    r#"{"recycleTime":"2020-12-04 17:57:00","recycleType":"3"}"#,
    r#"{"customField":"batch-2","recycleTime":"2020-12-04 17:57:00","recycleType":"1"}"#,
    r#"{"customField":"nobody has this"}"#,
];

fn look(engine: &Engine, run: &NewRun) -> Preview {
    preview_of(engine, run, false).unwrap().expect("it was not stopped")
}

on_each_shape! {
    fn a_preview_equals_the_run_and_changes_nothing(db) {
        let mut conn = db.connect();
        let mut next = 1..;
        for (size, seed) in [(3, 1), (5_000, 2)] {
            let engine = engine(db.store(), size);
            for members in MEMBERS {
                let campaign = campaign(db, next.next().unwrap(), &numbers(300, seed));
                let run = manual(campaign, members, true);
                let before = tables::numbers(&mut conn, campaign);
                let seen = look(&engine, &run);
                assert_eq!(tables::numbers(&mut conn, campaign), before, "{members}");
                assert_eq!(tables::history(&mut conn, campaign), [], "{members}");
                let listed = RunFilter { campaign: Some(campaign), ..RunFilter::default() };
                assert_eq!(runs::list(&mut conn, &listed).unwrap(), [], "{members}");

                let done = sweep(&engine, &run);
                assert_eq!(Some(seen.walk), walk(&done), "{members}");
                assert_eq!((seen.matched, seen.removable), (done.counts.matched, done.counts.deleted), "{members}");
                assert_eq!(seen.barred, done.counts.barred, "{members}");
                assert!(!seen.campaign_executing);
            }
        }
    }

    fn the_sample_is_masked_and_has_only_removable_numbers(db) {
        let (engine, mut conn) = (engine(db.store(), 2), db.connect());
        let campaign = campaign(db, 1, &numbers(300, 3));
        for (members, expected) in [
            (r#"{"customField":"batch-1"}"#, 10),
            // The only number of this batch is barred.
            (r#"{"customField":"batch-3"}"#, 0),
            (r#"{"customField":"batch-4"}"#, 0),
        ] {
            let sample = look(&engine, &manual(campaign, members, true)).sample;
            assert_eq!(sample.len(), expected, "{members}");
            let batch = serde_json::from_str::<serde_json::Value>(members).unwrap()["customField"].clone();
            let all = tables::numbers(&mut conn, campaign);
            for shown in sample {
                assert!(shown.called.chars().rev().skip(2).all(|c| c == '•'), "{}", shown.called);
                let is_one = all.iter().any(|number| {
                    number.custom_field.as_deref() == batch.as_str()
                        && number.status == 0
                        && (mask(&number.called), number.status, number.recycle_time.map(|time| time.to_string()))
                            == (shown.called.clone(), shown.status, shown.recycle_time.clone())
                });
                assert!(is_one, "{shown:?} does not match {members}");
            }
        }
    }

    fn an_executing_campaign_shows_nothing_removable(db) {
        let (mut engine, mut conn) = (engine(db.store(), 2), db.connect());
        let campaign = sample::campaign(&mut conn, 1, CampaignStatus::Executing);
        let each: Vec<_> = (1..).zip(STATUSES).map(|(id, status)| NewNumber { status, ..number(id) }).collect();
        sample::insert(&mut conn, campaign, &each);
        let run = manual(campaign, r#"{"customField":"batch"}"#, true);
        let seen = look(&engine, &run);
        assert_eq!((seen.matched, seen.removable, seen.campaign_executing), (5, 0, true));
        assert_eq!((seen.barred.ongoing_task, seen.barred.total()), (2, 5));
        engine.rules = OngoingTask::Number;
        let seen = look(&engine, &run);
        assert_eq!((seen.matched, seen.removable, seen.campaign_executing), (5, 1, false));
    }

    fn a_preview_can_be_stopped_and_checks_its_campaign(db) {
        let engine = engine(db.store(), 2);
        let campaign = campaign(db, 1, &numbers(100, 4));
        let run = manual(campaign, r#"{"customField":"batch-0"}"#, true);
        assert_eq!(preview_of(&engine, &run, true).unwrap(), None);
        let nowhere = manual(CampaignId::try_from(404).unwrap(), MEMBERS[0], true);
        assert!(matches!(preview_of(&engine, &nowhere, false), Err(Error::NoSuchCampaign { .. })));
    }
}
