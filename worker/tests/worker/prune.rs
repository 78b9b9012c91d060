//! `prune-history`, as a DBA ends the retention of what is old.

use callsweep_testkit::on_each_backend;
use diesel::connection::SimpleConnection as _;
use serde_json::json;

use crate::program::{Worker, says};
use crate::restore::archived;

on_each_backend! {
    fn what_is_old_is_shown_and_goes(db) {
        let worker = Worker::on(db);
        let run = archived(&worker, db);
        assert_eq!(worker.reports_json(3, "prune-history --older-than 2y")["numbers"], 0);
        let mut conn = db.connect();
        conn.batch_execute("UPDATE call_data_history SET archived_at = '2020-01-01 00:00:00' WHERE id <= 7").unwrap();
        says(&worker.reports(0, "prune-history --older-than 2y"), &["7 rows of history", "7 of campaign 5", "--execute"]);
        says(&worker.reports(7, "prune-history --older-than 2y --max-rows 6"), &["would be refused", "1 more than"]);
        says(&worker.reports(7, "prune-history --older-than 2y --max-rows 6 --execute"), &["refused", "1 more than"]);
        let account = worker.reports_json(0, "prune-history --older-than 2y --execute");
        assert_eq!((&account["pruned"], &account["ledgerRows"], &account["state"]), (&json!(7), &json!(0), &json!("succeeded")));
        assert_eq!(worker.reports_json(0, &format!("runs {run}"))["pruned"], 7);
        worker.reports(0, "verify");
        assert_eq!(worker.reports_json(0, &format!("restore {run} --execute"))["restored"], 3);
        worker.reports(0, "verify");
    }

    fn an_age_that_would_end_everything_is_refused(db) {
        let worker = Worker::on(db);
        for age in ["''", "0", "0d", "-2y", "2", "2m", "x"] {
            let words = format!("prune-history --older-than {age} --execute");
            says(&worker.refuses(2, &words), &["--older-than", "Give a number and a unit: 90d, 26w or 2y"]);
        }
        assert_eq!(worker.reports_json(0, "runs"), json!([]));
    }
}
