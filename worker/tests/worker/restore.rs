//! `restore`, as a DBA takes a run back.

use callsweep_core::campaign::CampaignStatus;
use callsweep_core::number::NewNumber;
use callsweep_testkit::on_each_backend;
use callsweep_testkit::{TestDatabase, sample, tables};
use serde_json::json;

use crate::program::{Worker, says};

/// A campaign of ten numbers that a sweep has archived. Says which run.
pub(crate) fn archived(worker: &Worker, db: &TestDatabase) -> i64 {
    let mut conn = db.connect();
    let campaign = sample::campaign(&mut conn, 5, CampaignStatus::Suspended);
    sample::insert(&mut conn, campaign, &(1..=10).map(sample::number).collect::<Vec<NewNumber>>());
    let words = "sweep --vdn 1 --campaign 5 --custom-field batch --archive-history --execute";
    worker.reports_json(0, words)["runId"].as_i64().unwrap()
}

on_each_backend! {
    fn a_run_is_shown_restored_and_swept_again(db) {
        let (worker, mut conn) = (Worker::on(db), db.connect());
        let run = archived(&worker, db);
        let campaign = callsweep_core::campaign::CampaignId::try_from(5).unwrap();
        says(&worker.reports(0, &format!("restore {run}")), &["10 numbers would return", "With --execute"]);
        assert_eq!(tables::ids(&mut conn, campaign).len(), 0);
        let account = worker.reports_json(0, &format!("restore {run} --execute"));
        assert_eq!((&account["restored"], &account["restoredRun"], &account["state"]), (&json!(10), &json!(run), &json!("succeeded")));
        assert_eq!(tables::ids(&mut conn, campaign).len(), 10);
        assert_eq!(worker.reports_json(0, &format!("runs {run}"))["restored"], 10);
        assert_eq!(worker.reports_json(0, "runs --kind restore")[0]["id"], account["runId"]);
        worker.reports(0, "verify");
        says(&worker.refuses(2, &format!("restore {run} --execute")), &["have been restored"]);
        let again = worker.reports_json(0, "sweep --vdn 1 --campaign 5 --custom-field batch --archive-history --execute");
        assert_eq!(again["archived"], 10);
        worker.reports(0, "verify");
    }

    fn it_is_held_and_ended_as_a_sweep_is(db) {
        let worker = Worker::on(db);
        let run = archived(&worker, db);
        worker.write("hold", "");
        for words in [format!("restore {run}"), "prune-history --older-than 1d".to_owned()] {
            let words = format!("{words} --execute --chunk-size 3 --sleep-ratio 0");
            says(&worker.refuses(2, &format!("{words} --throttle-query 'SELECT x'")), &["cannot be asked"]);
            says(&worker.refuses(4, &format!("{words} --stop-file hold")), &["exists already"]);
        }
        let held = worker.run(&format!("restore {run} --execute --throttle-file hold --max-duration 200ms"));
        assert_eq!(held.code, Some(10), "{held:?}");
        says(&held.stdout, &["stopped", "held by the flag file hold", " 0 restored"]);
        let account = worker.reports_json(0, &format!("restore {run} --execute --chunk-size 3"));
        assert_eq!((&account["restored"], &account["chunks"]), (&json!(10), &json!(4)));
    }

    fn refusals_have_their_exit_codes_and_reasons(db) {
        let (worker, mut conn) = (Worker::on(db), db.connect());
        let run = archived(&worker, db);
        let campaign = callsweep_core::campaign::CampaignId::try_from(5).unwrap();
        sample::insert(&mut conn, campaign, &[sample::number(3)]);
        says(&worker.reports(5, &format!("restore {run}")), &["would be refused", "5/3"]);
        says(&worker.reports(5, &format!("restore {run} --execute")), &["refused", "campaign/id: 5/3"]);
        let deleted = "sweep --vdn 1 --campaign 5 --custom-field batch --execute";
        let deleted = worker.reports_json(0, deleted)["runId"].as_i64().unwrap();
        says(&worker.refuses(2, &format!("restore {deleted}")), &["deleted without archive"]);
        says(&worker.refuses(2, "restore 1"), &["not in the ledger"]);
        let now = sample::created_at();
        callsweep_core::store::campaigns::set_status(&mut conn, campaign, CampaignStatus::Executing, now).unwrap();
        says(&worker.reports(5, &format!("restore {run} --execute")), &["refused", "--into-executing"]);
        worker.reports(0, &format!("restore {run} --execute --into-executing"));
    }
}
