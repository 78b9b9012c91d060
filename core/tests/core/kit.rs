//! The test kit: each test has its own database.

use callsweep_core::campaign::CampaignStatus;
use callsweep_testkit::on_each_backend;
use callsweep_testkit::{TestDatabase, sample, tables};

on_each_backend! {
    fn each_test_has_a_database_of_its_own(db) {
        let other = TestDatabase::new(db.backend());
        let campaign = sample::campaign(&mut db.connect(), 7, CampaignStatus::Suspended);
        sample::insert(&mut db.connect(), campaign, &sample::numbers(2_500, 1));
        assert_eq!(tables::ids(&mut db.connect(), campaign).len(), 2_500);
        assert_eq!(tables::ids(&mut other.connect(), campaign).len(), 0);
        assert!(sample::dial(&mut db.connect(), campaign, 1, tables::numbers(&mut db.connect(), campaign)[0].status, 77));
        assert_eq!(tables::numbers(&mut db.connect(), campaign)[0].status, 77);
    }
}
