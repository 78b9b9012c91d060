use callsweep_core::campaign::{CampaignId, CampaignStatus};
use callsweep_core::on_each_backend;
use callsweep_core::testkit::{sample, tables};
use serde_json::json;

use crate::program::{Worker, says};

/// Every column, in the page's order; a cell that is quoted, and one with letters beyond ASCII.
const FILE: &str = "sessionId,called,caller,callData,customField,recycleTime,priority\n\
    s1,13800000001,4001,\"{\"\"name\"\":\"\"推荐\"\"}\",batch,2020-12-04 17:57:00,5\n\
    ,138*#,,,,,\n";

on_each_backend! {
    fn brings_every_column(db) {
        let worker = Worker::on(db);
        worker.write("numbers.csv", FILE);
        let report = worker.reports(0, "import numbers.csv --vdn 7 --create-campaign 'spring 推荐'");
        says(&report, &["2 numbers imported into campaign", "(spring 推荐) of VDN 7, made for them", "0 lines rejected"]);
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
            "line,reason,original",
            "3,called: has a character that is not allowed here,\"13x,1\"",
            "5,has 1 fields where the header has 2,140",
            "6,priority: must be an integer from 0 to 32767,\"141,-1\"",
        ]);

        // What was rejected before may not be lost.
        let refused = worker.refuses(2, "import numbers.csv --vdn 1 --campaign 5");
        says(&refused, &["numbers.csv.rejected.csv is there already", "--rejects"]);
        says(&worker.reports(6, "import numbers.csv --vdn 1 --campaign 5 --rejects again.csv"), &["see again.csv"]);
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
}
