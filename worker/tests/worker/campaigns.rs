//! `campaigns`, and sweeps over campaigns by pattern: what matches, and what is counted.

use callsweep_core::campaign::{Campaign, CampaignStatus};
use callsweep_core::number::{NewNumber, NumberStatus};
use callsweep_core::store::campaigns;
use callsweep_testkit::{TestDatabase, on_each_backend, sample};
use serde_json::json;

use crate::program::{Worker, says};

/// Spring 1 and Spring 2 in VDN 1, Autumn in VDN 2: six numbers each, of which five wait.
fn three(db: &TestDatabase) {
    let mut conn = db.connect();
    for (id, vdn, name) in [(5, 1, "Spring 1"), (6, 1, "Spring\u{1b}[2J 2"), (7, 2, "Autumn")] {
        let campaign = Campaign {
            id: id.try_into().unwrap(),
            vdn_id: vdn.try_into().unwrap(),
            name: name.to_owned(),
            status: CampaignStatus::Suspended,
        };
        campaigns::create(&mut conn, &campaign, sample::created_at()).unwrap();
        let mut numbers: Vec<NewNumber> = (1..=6).map(sample::number).collect();
        numbers[5].status = NumberStatus::Succeeded;
        numbers[4].recycle_time = None;
        sample::insert(&mut conn, campaign.id, &numbers);
    }
}

on_each_backend! {
    fn campaigns_are_listed_with_their_numbers(db) {
        let worker = Worker::on(db);
        says(&worker.reports(3, "campaigns"), &["no campaigns"]);
        three(db);
        let listed = worker.reports_json(0, "campaigns");
        assert_eq!(listed[0], json!({
            "vdnId": 1, "campaignId": 5, "name": "Spring 1", "status": "suspended", "waiting": 5, "inUse": 0,
            "completed": 1, "other": 0, "due": 4, "history": 0, "isBounded": false,
        }));
        assert_eq!(listed.as_array().unwrap().len(), 3);
        worker.reports(0, "sweep --vdn 1 --campaign 5 --custom-field batch --archive-history --execute");
        assert_eq!(worker.reports_json(0, "campaigns 'Spring 1'")[0]["history"], 5);
        assert_eq!(worker.reports_json(0, "campaigns --vdn 2")[0]["campaignId"], 7);
        let text = worker.reports(0, "campaigns --limit 2 --count-up-to 3");
        says(&text, &["3+", "Spring\\u{1b}[2J 2", "the 3 that were counted", "1 more are not listed"]);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }

    fn a_sweep_takes_campaigns_by_pattern_and_all(db) {
        three(db);
        let worker = Worker::on(db);
        let removable = |words: &str| worker.reports_json(0, &format!("sweep {words} --custom-field batch"))["removable"].clone();
        assert_eq!(removable("--vdn 1 --campaign 'Spring*'"), 10);
        assert_eq!(removable("--vdn 1 --campaign 'Spring*' --campaign 5"), 10);
        assert_eq!(removable("--vdn 1 --campaign all"), 10);
        assert_eq!(removable("--vdn all --campaign all"), 15);
        assert_eq!(removable("--vdn all --campaign 7"), 5);
        let text = worker.reports(0, "sweep --vdn all --campaign all --custom-field batch");
        says(&text, &["All 3 campaigns:", " 18 match\n", " 15 are deleted for good\n"]);
        for words in ["--vdn 1 --campaign 'Autumn*'", "--vdn all --campaign 8"] {
            says(&worker.refuses(11, &format!("sweep {words} --custom-field batch --execute")), &["no campaign matches", "nothing was begun"]);
        }
        for (words, parts) in [
            ("--vdn -1 --campaign 5", ["-1", "an integer from 1 to 9999, or all"]),
            ("--vdn 1 --campaign ''", ["--campaign", "must not be empty"]),
            ("--vdn 1 --campaign 5 --called abc", ["abc", "0-9 * #"]),
        ] {
            says(&worker.refuses(2, &format!("sweep {words} --custom-field batch")), &parts);
        }
        // A bound that refuses the run leaves nothing to paste.
        let refused = worker.reports(7, "sweep --vdn 1 --campaign all --custom-field batch --max-rows 9");
        says(&refused, &["A run would be refused"]);
        assert!(!refused.contains("To remove them"), "{refused}");
        let account = worker.reports_json(0, "sweep --vdn all --campaign all --custom-field batch --execute");
        assert_eq!((&account["deleted"], account["campaigns"].as_array().unwrap().len()), (&json!(15), 3));
    }
}
