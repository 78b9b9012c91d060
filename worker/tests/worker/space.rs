//! What a sweep does for the database afterwards.

use callsweep_core::campaign::CampaignStatus;
use callsweep_core::number::NewNumber;
use callsweep_core::store::Backend;
use callsweep_testkit::on_each_backend;
use callsweep_testkit::sample;

use crate::program::{Worker, says};

on_each_backend! {
    fn a_big_run_gives_space_back_and_refreshes_statistics(db) {
        let mut conn = db.connect();
        let campaign = sample::campaign(&mut conn, 5, CampaignStatus::Suspended);
        sample::insert(&mut conn, campaign, &(1..=20_000).map(sample::number).collect::<Vec<NewNumber>>());
        let worker = Worker::on(db);
        let account = worker.reports(0, "sweep --vdn 1 --campaign 5 --custom-field batch --execute --analyze");
        says(&account, &[" 20,000 deleted", match db.backend() {
            Backend::Sqlite => "bytes shorter; no writer waited",
            Backend::Postgres | Backend::Mysql => "the server keeps it for new rows",
        }]);
        if let Some(file) = db.file() {
            // Its log is copied back when the last connection goes.
            let shrunk = std::fs::metadata(file).unwrap().len();
            assert!(shrunk < 2_000_000, "{shrunk} bytes are left of an empty database");
        }
    }
}
