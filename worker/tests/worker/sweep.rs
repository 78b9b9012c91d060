//! `sweep`: a preview changes nothing, and an execution gives the account of the ledger.

use callsweep_core::campaign::{CampaignId, CampaignStatus};
use callsweep_core::number::{CustomField, NewNumber, NumberStatus};
use callsweep_core::store::Backend;
use callsweep_testkit::on_each_backend;
use callsweep_testkit::{TestDatabase, sample, tables};
use serde_json::json;

use crate::program::{Worker, says};

/// Campaign 5 with numbers 1 to 30: 15 wait, 5 are loaded, 2 are on a call, 3 failed, 5 succeeded; and number 31 of
/// another batch.
fn campaign(db: &TestDatabase, status: CampaignStatus) -> CampaignId {
    let status_of = |id| match id {
        ..=15 => NumberStatus::Waiting,
        16..=20 => NumberStatus::Loaded,
        21..=22 => NumberStatus::Calling,
        23..=25 => NumberStatus::Failed,
        _ => NumberStatus::Succeeded,
    };
    let mut new: Vec<NewNumber> =
        (1..=30).map(|id| NewNumber { status: status_of(id), ..sample::number(id) }).collect();
    new.push(NewNumber { custom_field: Some(CustomField::parse("other").unwrap()), ..sample::number(31) });
    let mut conn = db.connect();
    let campaign = sample::campaign(&mut conn, 5, status);
    sample::insert(&mut conn, campaign, &new);
    campaign
}

on_each_backend! {
    fn a_preview_shows_and_changes_nothing(db) {
        let campaign = campaign(db, CampaignStatus::Suspended);
        let before = tables::numbers(&mut db.connect(), campaign);
        let worker = Worker::on(db);
        let preview = worker.reports(0, "sweep --vdn 1 --campaign 5 --custom-field batch");
        says(&preview, &[
            "Nothing was changed",
            " 30 match\n",
            " 2 stay: call ongoing\n",
            " 8 stay: call completed\n",
            " 5 stay: in an ongoing task\n",
            " 15 are deleted for good\n",
            "Walk: custom_field index\n",
            "  •••••••••01 ",
            "\nTo remove them:\n",
        ]);
        assert_eq!(preview.lines().filter(|line| line.contains("•••••••••")).count(), 10, "{preview}");
        assert!(!preview.contains("1380000"), "{preview}");

        let preview = worker.reports_json(0, "sweep --vdn 1 --campaign 5 --custom-field batch --archive-history");
        assert_eq!((&preview["matched"], &preview["removable"]), (&json!(30), &json!(15)));
        let barred = json!({ "callOngoing": 2, "callCompleted": 8, "ongoingTask": 5, "unknownStatus": 0 });
        let shown = &preview["campaigns"][0];
        assert_eq!((&preview["barred"], &shown["walk"]), (&barred, &json!("custom_field index")));
        assert_eq!((&preview["archiveHistory"], shown["sample"].as_array().unwrap().len()), (&json!(true), 10));
        assert_eq!(preview["criteria"], json!({ "customField": "batch" }));

        assert_eq!(tables::numbers(&mut db.connect(), campaign), before);
        says(&worker.reports(0, "runs"), &["no runs"]);
    }

    fn show_sql_prints_masked_statements_and_changes_nothing(db) {
        let campaign = campaign(db, CampaignStatus::Suspended);
        let before = tables::numbers(&mut db.connect(), campaign);
        let worker = Worker::on(db);
        let (placeholder, take) = match db.backend() {
            Backend::Sqlite => ("campaign_id = ?", &["/* chunk::copy */", "/* chunk::delete */"][..]),
            Backend::Postgres => ("campaign_id = $1", &["/* chunk::move */ WITH gone AS (DELETE FROM call_data"][..]),
            Backend::Mysql => ("campaign_id = ?", &["/* chunk::copy */", " FOR UPDATE", "/* chunk::delete */"][..]),
        };
        let words = "sweep --vdn 1 --campaign 5 --called 13800000001 --custom-field batch --archive-history --show-sql";
        let shown = worker.reports(0, words);
        says(&shown, &[
            "Nothing was changed",
            "-- Campaign 5 in VDN 1. Walk: called index.",
            "/* window::scan */ SELECT",
            "/* campaigns::lock */ SELECT status",
            "INSERT INTO call_data_history (",
            placeholder,
            "'•••••••••01'",
            "'•••ch'",
            "purge_run_campaign",
        ]);
        says(&shown, take);
        assert!(!shown.contains("001'") && !shown.contains("batch"), "{shown}");

        let words = "sweep --vdn 1 --campaign 5 --session-id s17 --recycle-type 1 --recycle-time -1d --show-sql";
        let shown = worker.reports_json(0, words);
        let of_campaign = &shown["campaigns"][0];
        assert_eq!(of_campaign["walk"], "session_id index");
        let delete = &of_campaign["chunk"][1];
        assert!(delete["sql"].as_str().unwrap().starts_with("/* chunk::delete */ DELETE FROM call_data WHERE "), "{shown}");
        assert!(delete["values"].as_array().unwrap().contains(&json!("'•17'")), "{shown}");
        assert!(!shown.to_string().contains("s17"), "{shown}");

        says(&worker.reports(0, "sweep --vdn 1 --campaign 5 --session-id none --show-sql"), &["would remove nothing"]);
        says(&worker.refuses(2, "sweep --vdn 1 --campaign 5 --called 1 --show-sql --execute"), &["--execute"]);
        assert_eq!(tables::numbers(&mut db.connect(), campaign), before);
        says(&worker.reports(0, "runs"), &["no runs"]);
    }

    fn the_command_that_a_preview_prints_does_what_it_showed(db) {
        let campaign = campaign(db, CampaignStatus::Suspended);
        let worker = Worker::on(db);
        let words = "sweep --vdn 1 --campaign 5 --recycle-type 1 --recycle-time -1d --custom-field batch --archive-history";
        let preview = worker.reports(0, words);
        says(&preview, &[" 15 move to history\n"]);
        let printed = preview.split_once("To remove them:\n").unwrap().1.trim();
        let (program, arguments) = printed.split_once(' ').unwrap();
        assert_eq!(program, env!("CARGO_BIN_EXE_callsweep-worker"));
        says(&worker.reports(0, arguments), &[": succeeded\n", " 15 deleted\n", " 15 of them archived\n"]);

        let conn = &mut db.connect();
        assert_eq!(tables::history_ids(conn, campaign), (1..=15).collect());
        assert_eq!(tables::ids(conn, campaign), (16..=31).collect());
    }

    fn execute_gives_the_ledgers_account(db) {
        let campaign = campaign(db, CampaignStatus::Suspended);
        let worker = Worker::on(db);
        let words = "sweep --vdn 1 --campaign 5 --custom-field batch --chunk-size 4 --execute";
        let account = worker.reports_json(0, words);
        assert_eq!((&account["state"], &account["reason"]), (&json!("succeeded"), &json!(null)));
        assert_eq!((&account["matched"], &account["deleted"], &account["archived"]), (&json!(30), &json!(15), &json!(0)));
        assert!(account["chunks"].as_i64().unwrap() > 1, "{account}");
        let run = worker.reports_json(0, &format!("runs {}", account["runId"]));
        for member in ["state", "matched", "deleted", "archived", "barred", "chunks"] {
            assert_eq!(run[member], account[member], "{member}");
        }
        assert_eq!(run["barred"]["callCompleted"], 8);
        let conn = &mut db.connect();
        assert_eq!(tables::ids(conn, campaign), (16..=31).collect());
        assert_eq!(tables::history(conn, campaign), []);

        // What is left is barred, and says so.
        says(&worker.reports(5, words), &["15 matched", " 0 deleted"]);
        says(&worker.reports(5, "sweep --vdn 1 --campaign 5 --custom-field batch"), &["15 match", " 0 are deleted"]);
    }

    fn a_process_ends_well_however_soon(db) {
        // One in fifteen crashed in its driver while a connection was still being made.
        let mut conn = db.connect();
        let campaign = sample::campaign(&mut conn, 5, CampaignStatus::Suspended);
        let worker = Worker::on(db);
        for id in 1..=30 {
            sample::insert(&mut conn, campaign, &[sample::number(id)]);
            worker.reports(0, "sweep --vdn 1 --campaign 5 --custom-field batch --archive-history --execute");
        }
    }

    fn nothing_to_do_is_code_3(db) {
        campaign(db, CampaignStatus::Suspended);
        let worker = Worker::on(db);
        for execute in ["", " --execute"] {
            let report = worker.reports_json(3, &format!("sweep --vdn 1 --campaign 5 --session-id none{execute}"));
            assert_eq!(report["matched"], 0);
        }
    }

    fn an_executing_campaign_is_code_5(db) {
        let campaign = campaign(db, CampaignStatus::Executing);
        let worker = Worker::on(db);
        let words = "sweep --vdn 1 --campaign 5 --custom-field batch";
        says(&worker.reports(5, words), &["The campaign is executing", " 0 are deleted for good"]);
        says(&worker.reports(5, &format!("{words} --execute")), &["refused (the campaign is executing", "0 deleted"]);
        assert_eq!(tables::numbers(&mut db.connect(), campaign).len(), 31);
        assert_eq!(worker.reports_json(0, "runs")[0]["state"], "refused");

        // The other reading of the rule, by a setting.
        worker.write("callsweep.toml", "[rules]\nongoing_task = \"number\"\n");
        says(&worker.reports(0, &format!("{words} --execute")), &[": succeeded\n", " 15 deleted"]);
    }

    fn what_would_take_too_much_is_refused(db) {
        let campaign = campaign(db, CampaignStatus::Suspended);
        let worker = Worker::on(db);
        for (filter, parts) in [
            ("", &["needs a filter", "whole campaign"][..]),
            ("--archive-history", &["needs a filter"]),
            ("--recycle-type 1 --recycle-time -0d", &["-0d", "age of 0"]),
            ("--recycle-type 1 --recycle-time ''", &["is not a time"]),
            ("--recycle-type 1 --recycle-time '9999-01-01 00:00:00'", &["in the future"]),
            ("--recycle-type 2 --recycle-time '2021-02-29 00:00:00'", &["2021-02-29", "is not a time"]),
        ] {
            says(&worker.refuses(2, &format!("sweep --vdn 1 --campaign 5 {filter} --execute")), parts);
        }
        says(&worker.refuses(2, "sweep --vdn 1 --campaign 6 --called 1"), &["campaign 6", "5 (campaign 5)"]);
        says(&worker.refuses(2, "sweep --vdn 2 --campaign 5 --called 1 --execute"), &["VDN 2", "no campaigns"]);
        assert_eq!(tables::numbers(&mut db.connect(), campaign).len(), 31);
        says(&worker.reports(0, "runs"), &["no runs"]);
    }
}
