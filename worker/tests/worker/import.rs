//! `import`: what comes in, what is rejected, and what the account says.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use callsweep_core::campaign::{CampaignId, CampaignStatus};
use callsweep_testkit::on_each_backend;
use callsweep_testkit::{sample, tables};
use serde_json::json;

use crate::program::{Ran, Worker, says};

/// Every column, in the page's order; a cell that is quoted, and one with letters beyond ASCII.
const FILE: &str = "sessionId,called,caller,callData,customField,recycleTime,priority\n\
    s1,13800000001,4001,\"{\"\"name\"\":\"\"推荐\"\"}\",batch,2020-12-04 17:57:00,5\n\
    ,138*#,,,,,\n";

on_each_backend! {
    fn brings_every_column(db) {
        let worker = Worker::on(db);
        worker.write("numbers.csv", FILE);
        let report = worker.reports(0, "import numbers.csv --vdn 7 --create-campaign 'spring 推荐'");
        says(&report, &["2 numbers imported into campaign", "(spring 推荐) of VDN 7, which was created", "0 lines rejected"]);
        assert!(!worker.dir().join("numbers.csv.rejected.csv").exists());

        let again = worker.refuses(2, "import numbers.csv --vdn 7 --create-campaign 'spring 推荐'");
        let id = again.trim().rsplit(' ').next().unwrap();
        says(&again, &["has a campaign \"spring 推荐\" already", "give --campaign"]);

        let rows = tables::numbers(&mut db.connect(), CampaignId::parse(id).unwrap());
        assert_eq!(rows.len(), 2);
        let (full, bare) = (&rows[0], &rows[1]);
        assert!(full.id < bare.id);
        assert_eq!((full.session_id.as_deref(), full.called.as_str()), (Some("s1"), "13800000001"));
        assert_eq!((full.caller.as_deref(), full.call_data.as_deref()), (Some("4001"), Some("{\"name\":\"推荐\"}")));
        assert_eq!(full.custom_field.as_deref(), Some("batch"));
        assert_eq!(full.recycle_time, Some(sample::time("2020-12-04 17:57:00")));
        assert_eq!((full.priority, full.status), (5, 0));
        assert_eq!((&bare.session_id, bare.called.as_str(), &bare.caller), (&None, "138*#", &None));
        assert_eq!((&bare.call_data, &bare.custom_field, bare.recycle_time), (&None, &None, None));
        assert_eq!((bare.priority, bare.status), (3, 0));
    }

    fn rejects_lines_with_number_and_reason(db) {
        let campaign = sample::campaign(&mut db.connect(), 5, CampaignStatus::Draft);
        let worker = Worker::on(db);
        worker.write("numbers.csv", "called,priority\n138,1\n13x,1\n\"139\",2\n140\n141,-1\n");
        let report = worker.reports_json(6, "import numbers.csv --vdn 1 --campaign 5");
        assert_eq!((&report["imported"], &report["rejected"], &report["state"]), (&json!(2), &json!(3), &json!("succeeded")));
        assert_eq!((&report["campaignId"], &report["campaignCreated"]), (&json!(5), &json!(false)));
        assert_eq!((&report["rejectsFile"], &report["lastLine"]), (&json!("numbers.csv.rejected.csv"), &json!(6)));
        assert_eq!(tables::numbers(&mut db.connect(), campaign).len(), 2);

        let rejected = std::fs::read_to_string(worker.dir().join("numbers.csv.rejected.csv")).unwrap();
        let lines: Vec<&str> = rejected.lines().collect();
        assert_eq!(lines, [
            "line,reason,called,priority",
            "3,\"called: has a character that is not allowed here\",13x,1",
            "5,\"has 1 fields where the header has 2\",140",
            "6,\"priority: must be an integer from 0 to 32767\",141,-1",
        ]);

        // What was rejected before may not be lost.
        let refused = worker.refuses(2, "import numbers.csv --vdn 1 --campaign 5");
        says(&refused, &["numbers.csv.rejected.csv is there already", "--rejects"]);
        says(&worker.reports(6, "import numbers.csv --vdn 1 --campaign 5 --rejects again.csv"), &["mend them in again.csv", "3 lines rejected"]);
        assert_eq!(tables::numbers(&mut db.connect(), campaign).len(), 4);
    }

    fn names_the_campaigns_that_there_are(db) {
        let worker = Worker::on(db);
        worker.write("numbers.csv", FILE);
        says(&worker.refuses(2, "import numbers.csv --vdn 1 --campaign 5"), &["VDN 1", "has no campaigns"]);
        sample::campaign(&mut db.connect(), 6, CampaignStatus::Draft);
        says(&worker.refuses(2, "import numbers.csv --vdn 1 --campaign 5"), &["campaign 5", "6 (campaign 6)"]);
        says(&worker.refuses(2, "import numbers.csv --vdn 2 --campaign 6"), &["VDN 2", "has no campaigns"]);
    }

    fn the_exit_code_tells_how_much_came_in(db) {
        sample::campaign(&mut db.connect(), 5, CampaignStatus::Draft);
        let worker = Worker::on(db);
        worker.write("header.csv", "called\n");
        worker.write("bad.csv", "called\nx\ny\n");
        assert_eq!(worker.reports_json(3, "import header.csv --vdn 1 --campaign 5")["imported"], 0);
        assert_eq!(worker.reports_json(1, "import bad.csv --vdn 1 --campaign 5")["rejected"], 2);
    }

    fn a_file_that_is_no_list_makes_no_campaign(db) {
        let worker = Worker::on(db);
        for (content, parts) in [
            ("", &["empty.csv"][..]),
            ("13800000001,batch\n", &["no header", "sessionId, called"]),
            ("called,colour\n", &["\"colour\"", "Known are"]),
            ("called,called\n", &["\"called\"", "twice"]),
            ("caller\n1\n", &["\"called\" is missing"]),
        ] {
            worker.write("empty.csv", content);
            let refused = worker.refuses(2, "import empty.csv --vdn 1 --create-campaign spring");
            says(&refused, parts);
            assert!(!refused.contains("13800000001"), "{refused}");
        }
        says(&worker.refuses(2, "import none.csv --vdn 1 --create-campaign spring"), &["none.csv", "cannot be read"]);
        says(&worker.refuses(2, "import . --vdn 1 --create-campaign spring"), &["is a directory", "CSV"]);
        // The name is still free.
        worker.write("numbers.csv", FILE);
        worker.reports(0, "import numbers.csv --vdn 1 --create-campaign spring");
    }

    fn what_is_rejected_is_imported_after_mending(db) {
        let campaign = sample::campaign(&mut db.connect(), 5, CampaignStatus::Draft);
        let worker = Worker::on(db);
        for (round, end) in ["\n", "\r", "\r\n"].into_iter().enumerate() {
            // 250 lines and one with a stray quote, as the file's row 51; the file is longer than 64 KiB.
            let line = |n: u32| if n == 50 { format!("\"139{n:05},{}", "x".repeat(400)) } else { format!("139{n:05},{}", "x".repeat(400)) };
            let data: Vec<String> = (0..251).map(line).collect();
            let name = format!("{round}.csv");
            worker.write(&name, format!("called,callData{end}{}{end}", data.join(end)));
            let report = worker.reports_json(6, &format!("import {name} --vdn 1 --campaign 5"));
            assert_eq!((&report["imported"], &report["rejected"], &report["lastLine"]), (&json!(250), &json!(1), &json!(252)));

            let rejects = worker.dir().join(format!("{name}.rejected.csv"));
            let rejected = std::fs::read_to_string(&rejects).unwrap();
            says(&rejected, &["line,reason,called,callData\n52,\"its quotes do not match", ",\"13900050,xxx"]);
            assert_eq!(std::fs::metadata(&rejects).unwrap().permissions().mode() & 0o777, 0o600);
            // Unmended it is rejected again, behind its line in the rejects file.
            let again = worker.reports_json(1, &format!("import {name}.rejected.csv --vdn 1 --campaign 5"));
            let again = worker.dir().join(again["rejectsFile"].as_str().unwrap());
            let expected = rejected.replace("\n52,", "\n2,");
            assert_eq!(std::fs::read_to_string(again).unwrap(), expected);
            std::fs::write(&rejects, rejected.replace(",\"13900050", ",13900050")).unwrap();
            worker.reports(0, &format!("import {name}.rejected.csv --vdn 1 --campaign 5 --rejects none.csv"));
            assert_eq!(tables::numbers(&mut db.connect(), campaign).len(), 251 * (round + 1));
        }
    }

    fn a_new_campaign_comes_with_its_first_numbers(db) {
        let worker = Worker::on(db);
        worker.write("bad.csv", "called\nx\n");
        let report = worker.reports_json(1, "import bad.csv --vdn 1 --create-campaign spring");
        assert_eq!((&report["campaignId"], &report["campaignCreated"]), (&json!(null), &json!(false)));
        worker.write("none.csv", "called\n");
        says(&worker.reports(3, "import none.csv --vdn 1 --create-campaign spring"), &["campaign spring of VDN 1 was not created"]);
        worker.write("numbers.csv", FILE);
        says(&worker.refuses(2, "import numbers.csv --vdn 1 --campaign 5"), &["no campaigns"]);
        let report = worker.reports_json(0, "import numbers.csv --vdn 1 --create-campaign spring");
        assert_eq!((&report["imported"], &report["campaignCreated"]), (&json!(2), &json!(true)));
    }

    fn standard_input_needs_a_file_for_rejects(db) {
        let campaign = sample::campaign(&mut db.connect(), 5, CampaignStatus::Draft);
        let worker = Worker::on(db);
        let file = worker.write("numbers.csv", "called\n138\nx\n");
        let ran = |words: &str| {
            let mut command = worker.command(words);
            let child = command.stdin(File::open(&file).unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
            Ran::read(child.unwrap())
        };
        for input in ["-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"] {
            let refused = ran(&format!("import {input} --vdn 1 --campaign 5"));
            assert_eq!(refused.code, Some(2), "{refused:?}");
            says(&refused.stderr, &["--rejects FILE"]);
        }
        for (input, rejects) in [("-", "a.csv"), ("/dev/stdin", "b.csv")] {
            let imported = ran(&format!("import {input} --vdn 1 --campaign 5 --rejects {rejects}"));
            assert_eq!(imported.code, Some(6), "{imported:?}");
            assert!(worker.dir().join(rejects).exists());
        }
        let nowhere = ran("import - --vdn 1 --campaign 5 --rejects no/where.csv");
        assert_eq!(nowhere.code, Some(2), "{nowhere:?}");
        says(&nowhere.stderr, &["no/where.csv", "--rejects"]);
        assert_eq!(tables::numbers(&mut db.connect(), campaign).len(), 2);
    }
}
