//! `runs`: the ledger as a list and one run in full.

use callsweep_core::campaign::CampaignStatus;
use callsweep_testkit::on_each_backend;
use callsweep_testkit::sample;
use serde_json::{Value, json};

use crate::program::{Worker, says};

fn ids(runs: &Value) -> Vec<i64> {
    runs.as_array().unwrap().iter().map(|run| run["id"].as_i64().unwrap()).collect()
}

on_each_backend! {
    fn tells_who_removed_what_by_which_filter(db) {
        let mut conn = db.connect();
        for id in [5, 6] {
            let campaign = sample::campaign(&mut conn, id, CampaignStatus::Suspended);
            sample::insert(&mut conn, campaign, &[sample::number(1), sample::number(2)]);
        }
        let worker = Worker::on(db);
        let run = |words: &str| worker.reports_json(0, words)["runId"].as_i64().unwrap();
        let first = run("sweep --vdn 1 --campaign 5 --session-id s1 --archive-history --execute");
        let second = run("sweep --vdn 1 --campaign 6 --custom-field batch --execute");

        let text = worker.reports(0, "runs");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        says(lines[0], &["RUN", "STARTED (UTC)", "NUMBERS", "POLICY"]);
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text}");
        let wide = worker.command("runs").env("COLUMNS", "200").output().unwrap();
        says(&String::from_utf8(wide.stdout).unwrap(), &["CAMPAIGN", "ARCHIVED", "BARRED", "ACTOR"]);
        says(lines[1], &[&second.to_string(), "manual", "succeeded", " 2 "]);
        says(lines[2], &[&first.to_string()]);

        for (filter, expected) in [
            ("", vec![second, first]),
            ("--kind manual", vec![second, first]),
            ("--kind request", vec![]),
            ("--campaign 5", vec![first]),
            ("--vdn 1 --campaign 6", vec![second]),
            ("--vdn 2", vec![]),
            ("--limit 1", vec![second]),
            ("--state succeeded", vec![second, first]),
            ("--state failed", vec![]),
            ("--since today --campaign 5", vec![first]),
            ("--since -1h", vec![second, first]),
            ("--since '2999-01-01 00:00:00'", vec![]),
            ("--actor nobody", vec![]),
            ("--actor %", vec![]),
        ] {
            assert_eq!(ids(&worker.reports_json(0, &format!("runs {filter}"))), expected, "{filter}");
        }

        let actor = worker.reports_json(0, "runs")[0]["actor"].as_str().unwrap().to_owned();
        assert_eq!(ids(&worker.reports_json(0, &format!("runs --actor '{actor}'"))), [second, first]);
        for (words, parts) in [
            ("runs --state done", ["must be one of", "succeeded"]),
            ("runs --since lately", ["--since", "yyyy-mm-dd"]),
            ("runs abc", ["abc", "a run's id is an integer"]),
        ] {
            says(&worker.refuses(2, words), &parts);
        }

        let one = worker.reports(0, &format!("runs {first}"));
        says(&one, &[
            &format!("run              {first}\n"),
            "kind             manual\n",
            "actor            ",
            "campaign         5\n",
            "criteria         {\"sessionId\":\"s1\"}\n",
            "archive history  yes\n",
            "state            succeeded\n",
            "deleted          1\n",
            "archived         1\n",
        ]);
        let one = worker.reports_json(0, &format!("runs {first}"));
        assert_eq!((&one["criteria"], &one["archiveHistory"]), (&json!({ "sessionId": "s1" }), &json!(true)));
        assert!(one["finishedAt"].is_string() && one["error"].is_null(), "{one}");

        says(&worker.refuses(2, "runs 1"), &["run 1 is not in the ledger"]);
        says(&worker.refuses(2, &format!("runs {first} --kind manual")), &["--kind"]);
    }
}
