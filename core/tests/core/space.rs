//! After a large run, space is given back and statistics are refreshed.

use std::cell::Cell;

use callsweep_core::number::NewNumber;
use callsweep_core::store::Backend;
use callsweep_core::store::space::{Reclaimed, analyze, reclaim};
use callsweep_testkit::on_each_backend;
use callsweep_testkit::sample::number;
use diesel::connection::SimpleConnection as _;

use crate::support::{campaign, engine, execute, manual, sweep};

const BATCH: &str = r#"{"customField":"batch"}"#;

on_each_backend! {
    fn the_file_shrinks_in_steps(db) {
        let engine = engine(db.store(), 5_000);
        let numbers: Vec<NewNumber> = (1..=20_000).map(number).collect();
        let campaign = campaign(db, 1, &numbers);
        sweep(&engine, &manual(campaign, BATCH, false));
        if db.backend() != Backend::Sqlite {
            assert_eq!(reclaim(&engine.store, &|| false).unwrap(), Reclaimed::ByServer);
            return;
        }
        let mut conn = db.connect();
        execute(&mut conn, "PRAGMA wal_checkpoint(TRUNCATE)");
        let size = || std::fs::metadata(db.file().unwrap()).unwrap().len();
        let before = size();
        let asked = Cell::new(0);
        let first_step_only = || asked.replace(asked.get() + 1) > 0;
        let Reclaimed::Pages { pages, left, .. } = reclaim(&engine.store, &first_step_only).unwrap() else { panic!() };
        assert!(pages > 0 && left > 0, "{pages} {left}");
        let Reclaimed::Pages { bytes, left, .. } = reclaim(&engine.store, &|| false).unwrap() else { panic!() };
        assert!(bytes > 0 && left == 0, "{bytes} {left}");
        assert!(size() * 4 < before, "{} of {before} bytes", size());
    }

    fn statistics_are_refreshed(db) {
        let mut conn = db.connect();
        campaign(db, 1, &(1..=500).map(number).collect::<Vec<_>>());
        analyze(&mut conn).unwrap();
        // SQLite has its statistics table only after ANALYZE.
        if db.backend() == Backend::Sqlite {
            execute(&mut conn, "SELECT * FROM sqlite_stat1");
        }
    }
}

#[test]
fn a_file_without_incremental_vacuum_is_reported() {
    callsweep_testkit::on(Backend::Sqlite, |db| {
        let mut conn = db.connect();
        conn.batch_execute("PRAGMA auto_vacuum = NONE; VACUUM").unwrap();
        let reclaimed = reclaim(&db.store(), &|| false).unwrap();
        assert!(matches!(reclaimed, Reclaimed::NotIncremental { .. }), "{reclaimed:?}");
    });
}
