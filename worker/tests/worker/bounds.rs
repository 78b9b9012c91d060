//! Bounds: a run that is over removes nothing, and says by how much it was over.

use callsweep_core::campaign::CampaignStatus;
use callsweep_core::number::{CustomField, NewNumber, NumberStatus};
use callsweep_testkit::on_each_backend;
use callsweep_testkit::{TestDatabase, sample, tables};
use chrono::{TimeDelta, Timelike as _};
use serde_json::json;

use crate::program::{Worker, says};

const SWEEP: &str = "sweep --vdn 1 --campaign 5 --custom-field batch";

/// Campaign 5 with 30 numbers of the batch and 70 of another.
fn campaign(db: &TestDatabase, id: i64) {
    let mut conn = db.connect();
    let campaign = sample::campaign(&mut conn, id, CampaignStatus::Suspended);
    let other = CustomField::parse("other").unwrap();
    let number = |id| {
        if id <= 30 {
            sample::number(id)
        } else {
            NewNumber { custom_field: Some(other.clone()), ..sample::number(id) }
        }
    };
    sample::insert(&mut conn, campaign, &(1..=100).map(number).collect::<Vec<_>>());
}

fn left(db: &TestDatabase) -> usize {
    tables::ids(&mut db.connect(), 5.try_into().unwrap()).len()
}

on_each_backend! {
    fn over_is_refused_and_at_is_not(db) {
        campaign(db, 5);
        let worker = Worker::on(db);
        for (bound, says_how) in [
            ("--max-rows 29", "30 numbers would go, 1 more than max_rows = 29"),
            ("--max-percent 29.9", "30 of 100 numbers of campaign 5 would go: 30.0 percent, more than max_percent = 29.9"),
            ("--expect 40 --expect-tolerance 24", "30 numbers would go, 10 away from expect = 40"),
            ("--expect 0", "30 away from expect = 0"),
        ] {
            says(&worker.reports(7, &format!("{SWEEP} {bound}")), &["A run would be refused", says_how]);
            says(&worker.reports(7, &format!("{SWEEP} {bound} --execute")), &["refused", says_how, " 0 deleted"]);
            let run = &worker.reports_json(0, "runs")[0];
            assert_eq!((&run["state"], &run["deleted"], &run["chunks"]), (&json!("refused"), &json!(0), &json!(0)));
            assert!(run["stopReason"].as_str().unwrap().contains(says_how), "{run}");
        }
        assert_eq!(left(db), 100);
        let bounds = "--max-rows 30 --max-percent 30 --expect 40 --expect-tolerance 25";
        says(&worker.reports(0, &format!("{SWEEP} {bounds} --execute")), &[" 30 deleted"]);
        for (bound, says_how) in [("--max-rows 0", "0 is not in"), ("--max-percent 101", "from 0 to 100"), ("--expect -1", "-1")] {
            says(&worker.refuses(2, &format!("{SWEEP} {bound}")), &[says_how]);
        }
    }

    fn what_is_barred_costs_the_bound_nothing(db) {
        let mut conn = db.connect();
        let campaign = sample::campaign(&mut conn, 5, CampaignStatus::Suspended);
        // Every second number is barred; the last that may go comes before a long rest that may not.
        let barred = |id| NewNumber { status: NumberStatus::Failed, ..sample::number(id) };
        let number = |id| if id % 2 == 0 || id > 200 { barred(id) } else { sample::number(id) };
        sample::insert(&mut conn, campaign, &(1..=6_000).map(number).collect::<Vec<_>>());
        let worker = Worker::on(db);
        let account = worker.reports_json(0, &format!("{SWEEP} --max-rows 100 --chunk-size 500 --execute"));
        assert_eq!((&account["deleted"], &account["barred"]["callCompleted"]), (&json!(100), &json!(5_900)));
        assert!(account["chunks"].as_i64() <= Some(20), "{account}");
    }

    fn a_stop_file_keeps_it_from_beginning(db) {
        campaign(db, 5);
        let worker = Worker::on(db);
        worker.write("stop", "");
        says(&worker.refuses(4, &format!("{SWEEP} --execute --stop-file stop")), &["stop exists already", "nothing was begun"]);
        assert_eq!(left(db), 100);
    }

    fn time_runs_out_and_the_rest_is_resumed(db) {
        campaign(db, 5);
        let worker = Worker::on(db);
        let stopped = worker.reports_json(9, &format!("{SWEEP} --execute --chunk-size 1 --max-duration 1ms"));
        assert_eq!(stopped["state"], "stopped");
        let deleted = stopped["deleted"].as_i64().unwrap();
        assert!(deleted < 30, "{stopped}");
        let command = stopped["resumeCommand"].as_str().unwrap();
        let words = command.split_once(' ').unwrap().1;
        let done = worker.reports_json(0, words);
        assert_eq!((&done["state"], &done["deleted"], &done["runId"]), (&json!("succeeded"), &json!(30), &stopped["runId"]));
        assert_eq!(left(db), 70);
        let run = worker.reports_json(0, &format!("runs {}", done["runId"]));
        assert_eq!((&run["deleted"], &run["chunks"], &run["stopReason"]), (&json!(30), &done["chunks"], &json!(null)));
    }

    fn outside_its_window_it_waits(db) {
        campaign(db, 5);
        let worker = Worker::on(db);
        let now = callsweep_core::clock::Clock::system().now();
        let [from, until] = [2, 3].map(|hours| {
            let time = now + TimeDelta::hours(hours);
            format!("{:02}:{:02}", time.hour(), time.minute())
        });
        let held = worker.run(&format!("{SWEEP} --execute --window {from}-{until} --max-duration 1s"));
        assert_eq!(held.code, Some(10), "{held:?}");
        says(&held.stdout, &[&format!("held by the window {from}-{until} (UTC)")]);
        assert_eq!(left(db), 100);
        let [from, until] = [-1, 1].map(|hours| {
            let time = now + TimeDelta::hours(hours);
            format!("{:02}:{:02}", time.hour(), time.minute())
        });
        says(&worker.reports(0, &format!("{SWEEP} --execute --window {from}-{until}")), &[" 30 deleted"]);
        says(&worker.refuses(2, &format!("{SWEEP} --window 5-6")), &["such as 01:00-05:00"]);
    }

    fn one_bad_campaign_does_not_stop_the_rest(db) {
        for id in [5, 7] {
            campaign(db, id);
        }
        let worker = Worker::on(db);
        let words = format!("{SWEEP} --campaign 6 --campaign 7 --execute");
        let account = worker.reports_json(6, &words);
        assert_eq!((&account["state"], &account["deleted"]), (&json!("failed"), &json!(60)));
        assert!(account["reason"].as_str().unwrap().contains("campaign 6 does not exist in VDN 1"), "{account}");
        let states: Vec<_> = account["campaigns"].as_array().unwrap().iter().map(|one| &one["state"]).collect();
        assert_eq!(states, ["succeeded", "failed", "succeeded"]);
        let run = worker.reports_json(0, &format!("runs {}", account["runId"]));
        assert_eq!((&run["campaignId"], run["campaigns"].as_array().unwrap().len()), (&json!(null), 3));
    }

    fn quiet_is_quiet_and_why_says_why(db) {
        campaign(db, 5);
        let worker = Worker::on(db);
        let ran = worker.run(&format!("{SWEEP} --execute --quiet --why"));
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""));
        assert_eq!(ran.stderr, "why: succeeded: all that matched has been looked at\n");
        let again = worker.run(&format!("{SWEEP} --execute --quiet --why"));
        assert_eq!((again.code, again.stderr.as_str()), (Some(3), "why: succeeded: nothing matched\n"));
    }
}
