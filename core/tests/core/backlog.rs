//! The backlog: numbers that are due and not removed yet.

use callsweep_core::campaign::CampaignStatus;
use callsweep_core::clock::Clock;
use callsweep_core::engine::backlog::{Backlog, backlog};
use callsweep_core::number::{NewNumber, NumberStatus};
use callsweep_core::run::Target;
use callsweep_core::store::campaigns;
use callsweep_testkit::on_each_backend;
use callsweep_testkit::sample;

use crate::support;

on_each_backend! {
    fn backlog_equals_what_a_run_would_remove(db) {
        let due = |id: i64, day: i64, status| NewNumber {
            recycle_time: Some(sample::time(&format!("2026-11-{day:02} 12:00:00"))),
            status,
            ..sample::number(id)
        };
        let first = support::campaign(
            db,
            1,
            &[due(1, 1, NumberStatus::Succeeded), due(2, 3, NumberStatus::Waiting), due(3, 9, NumberStatus::Waiting)],
        );
        let second = support::campaign(db, 2, &[due(1, 2, NumberStatus::Waiting), due(2, 4, NumberStatus::Waiting)]);
        let target = |campaign_id| Target { vdn_id: sample::vdn(), campaign_id };
        let targets = [target(first), target(second)];
        let engine = support::engine(db.store(), 100);
        let criteria = support::criteria(r#"{"recycleType":"1","recycleTime":"2026-11-05 00:00:00"}"#);
        let count = |limit| backlog(&engine, &targets, &criteria, limit).unwrap();

        let all = Backlog { rows: 3, oldest: Some(sample::time("2026-11-02 12:00:00")), at_least: false };
        assert_eq!(count(1_000), all);
        campaigns::set_status(&mut db.connect(), second, CampaignStatus::Executing, Clock::system().timestamp()).unwrap();
        assert_eq!(count(1_000), Backlog { rows: 1, oldest: Some(sample::time("2026-11-03 12:00:00")), ..all });
    }
}
