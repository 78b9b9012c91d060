//! `sweep --policy`: a policy by hand.

use callsweep_core::campaign::CampaignStatus;
use callsweep_core::number::NewNumber;
use callsweep_testkit::on_each_backend;
use callsweep_testkit::{TestDatabase, sample, tables};
use serde_json::json;

use crate::program::{Worker, says};

/// A policy on everything that was due by 2020-12-04.
pub(crate) const OLD: &str = "[[sweep]]\nname = \"old\"\nschedule = \"@daily\"\nvdns = \"all\"\ncampaigns = \"all\"\n\
                              recycle_type = \"1\"\nrecycle_time = \"-30d\"\narchive_history = 1\n";

/// Campaigns 5 and 6 with so many numbers each, all of them due since 2020.
pub(crate) fn campaigns(db: &TestDatabase, numbers: i64) {
    let mut conn = db.connect();
    for id in [5, 6] {
        let campaign = sample::campaign(&mut conn, id, CampaignStatus::Suspended);
        sample::insert(&mut conn, campaign, &(1..=numbers).map(sample::number).collect::<Vec<NewNumber>>());
    }
}

on_each_backend! {
    fn a_policy_by_hand_previews_and_executes(db) {
        campaigns(db, 10);
        let worker = Worker::on(db);
        worker.write("callsweep.toml", OLD);
        let preview = worker.reports_json(0, "sweep --policy old");
        assert_eq!((&preview["removable"], &preview["campaigns"][1]["campaignId"]), (&json!(20), &json!(6)));
        assert_eq!(worker.reports_json(0, "runs"), json!([]));
        let account = worker.reports_json(0, "sweep --policy old --execute");
        assert_eq!((&account["deleted"], &account["archived"]), (&json!(20), &json!(20)));
        let run = worker.reports_json(0, &format!("runs {}", account["runId"]));
        assert_eq!((&run["kind"], &run["policy"], &run["requestKey"]), (&json!("policy"), &json!("old"), &json!(null)));
        assert_eq!(tables::history_ids(&mut db.connect(), 5.try_into().unwrap()).len(), 10);
        worker.reports(3, "sweep --policy old --execute");
    }
}

#[test]
fn what_does_not_fit_is_named_with_the_way_out() {
    callsweep_testkit::on(callsweep_core::store::Backend::Sqlite, |db| {
        let worker = Worker::on(db);
        worker.write("callsweep.toml", OLD);
        says(&worker.refuses(2, "sweep --policy new"), &["\"new\"", "There are old"]);
        says(&worker.refuses(2, "sweep --policy old --vdn 1"), &["--policy", "--vdn"]);
        says(&worker.refuses(2, "sweep --policy old --max-rows 1"), &["--policy", "--max-rows"]);
        says(&worker.refuses(2, "sweep --policy old --called 1"), &["--policy", "--called"]);
        worker.write("callsweep.toml", OLD.replace("-30d", "2999-01-01 00:00:00"));
        says(&worker.refuses(2, "sweep --policy old"), &["\"old\"", "recycle_time", "allow = [\"future\"]"]);
        says(&worker.refuses(2, "run"), &["\"old\"", "allow = [\"future\"]"]);
        worker.write("callsweep.toml", OLD.replace("@daily", "@nightly"));
        says(&worker.refuses(2, "sweep --policy old"), &["[[sweep]] \"old\"", "schedule", "17 2 * * *"]);
        worker.write("callsweep.toml", OLD.replace("vdns", "vdnz"));
        says(&worker.refuses(2, "sweep --policy old"), &["vdnz"]);
        worker.write("callsweep.toml", format!("{OLD}[worker]\ntime_zone = \"Mars/Base\"\n"));
        says(&worker.refuses(2, "sweep --policy old"), &["time_zone", "Mars/Base"]);
    });
}

#[test]
fn a_policy_that_matches_no_campaign_says_so() {
    callsweep_testkit::on(callsweep_core::store::Backend::Sqlite, |db| {
        let worker = Worker::on(db);
        worker.write("callsweep.toml", OLD);
        for words in ["sweep --policy old", "sweep --policy old --execute"] {
            says(&worker.refuses(11, words), &["\"old\" matches no campaign", "nothing was begun"]);
        }
        assert_eq!(worker.reports_json(0, "runs"), json!([]));
    });
}
