//! `verify`, as a scheduler asks whether all is well.

use callsweep_testkit::on_each_backend;
use diesel::connection::SimpleConnection as _;

use crate::program::{Worker, says};
use crate::restore::archived;

on_each_backend! {
    fn its_exit_code_tells_whether_every_promise_holds(db) {
        let worker = Worker::on(db);
        let run = archived(&worker, db);
        says(&worker.reports(0, "verify"), &["10 rows of history in 1 campaigns, 1 runs", "Every promise holds"]);
        db.connect().batch_execute("DELETE FROM call_data_history WHERE id = 3").unwrap();
        let words = format!("run {run}: archived 10 - restored 0 - pruned 0 = 10, but history has 9 row(s) of it");
        says(&worker.reports(1, "verify"), &[&words, "1 violation(s)"]);
        let report = worker.reports_json(1, "verify");
        assert_eq!(report["violations"][0]["check"], "ledger_matches_history");
        assert_eq!((&report["historyRows"], &report["runs"]), (&9.into(), &1.into()));
    }
}
