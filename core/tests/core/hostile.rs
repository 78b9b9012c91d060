//! Rows with values that only other programs write: invalid times, extreme ids and states.

use callsweep_core::campaign::CampaignId;
use callsweep_core::engine::restore::restore;
use callsweep_core::engine::{Control, Outcome};
use callsweep_core::store::{AnyConnection, Backend};
use callsweep_core::walk::Walk;
use callsweep_testkit::on_each_backend;
use callsweep_testkit::sample::number;
use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::restore::restore_of;
use crate::support::{assert_no_violation, campaign, engine, execute, manual, preview_of, sweep, walk};

const DUE: &str = r#"{"recycleTime":"2020-12-31 00:00:00","recycleType":"1"}"#;

/// Invalid and extreme recycle times that this database accepts as SQL literals, and whether they match as due: a text
/// that starts with a valid day counts as that day.
fn recycle_times(backend: Backend) -> &'static [(&'static str, bool)] {
    match backend {
        Backend::Sqlite => &[
            ("''", false),
            ("'yesterday'", false),
            ("'2020-12-04'", true),
            ("'2020-12-04 17:57:00.000000'", true),
            ("'2020-12-04T17:57:00Z'", true),
            ("'2020-13-99 99:99:99'", true),
            ("5", false),
            ("-1.5", false),
            ("x'00ff'", false),
            ("'9999-12-31 23:59:59'", false),
        ],
        Backend::Postgres => &[
            ("'infinity'", false),
            ("'-infinity'", false),
            ("'4713-01-01 BC'", false),
            ("'294276-12-31'", false),
            ("'0001-01-01'", true),
        ],
        Backend::Mysql => &[
            ("'0000-00-00 00:00:00'", false),
            ("'2020-00-00 00:00:00'", true),
            ("'0001-01-01'", true),
            ("'9999-12-31 23:59:59.999999'", false),
        ],
    }
}

fn text_of(conn: &mut AnyConnection, query: &str) -> Vec<String> {
    #[derive(QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        line: String,
    }
    let rows: Vec<Row> = diesel::sql_query(query).load(conn).unwrap();
    rows.into_iter().map(|row| row.line).collect()
}

fn plant(conn: &mut AnyConnection, campaign: CampaignId, id: i64, recycle_time: &str, status: i16) {
    if conn.backend() == Backend::Mysql {
        execute(conn, "SET SESSION sql_mode = ''");
    }
    execute(
        conn,
        &format!(
            "INSERT INTO call_data (campaign_id, id, called, custom_field, priority, recycle_time, status, created_at, updated_at) \
         VALUES ({campaign}, {id}, '138', 'batch', 3, {recycle_time}, {status}, '2020-01-01 00:00:00', '2020-01-01 00:00:00')"
        ),
    );
}

/// Every recycle time of a table, as the database prints it.
fn recycle_times_of(conn: &mut AnyConnection, table: &str) -> Vec<String> {
    let text = match conn.backend() {
        Backend::Sqlite => "coalesce(quote(recycle_time), '')",
        Backend::Postgres => "coalesce(CAST(recycle_time AS TEXT), '')",
        Backend::Mysql => "coalesce(CAST(recycle_time AS CHAR), '')",
    };
    text_of(conn, &format!("SELECT {text} AS line FROM {table} ORDER BY campaign_id, id"))
}

on_each_backend! {
    fn invalid_recycle_times_match_no_day_and_stall_no_scan(db) {
        let mut conn = db.connect();
        let campaign = campaign(db, 1, &(1..=4).map(number).collect::<Vec<_>>());
        let times = recycle_times(db.backend());
        for (id, (time, _)) in (100..).zip(times) {
            plant(&mut conn, campaign, id, time, 0);
            // A barred number with the same time: a scan must get past it, too.
            plant(&mut conn, campaign, id + 100, time, 6);
        }
        let before = recycle_times_of(&mut conn, "call_data");
        let due = 4 + times.iter().filter(|(_, is_due)| *is_due).count();
        // With these chunk sizes, chunks end on every row.
        for chunk_size in 1..=7 {
            let engine = engine(db.store(), chunk_size);
            let run = manual(campaign, DUE, true);
            let preview = preview_of(&engine, &run, false).unwrap().unwrap();
            let report = sweep(&engine, &run);
            assert_eq!(walk(&report), Some(Walk::RecycleTime));
            assert_eq!(report.counts.archived, i64::try_from(due).unwrap(), "chunks of {chunk_size}");
            assert_eq!((preview.removable, preview.matched), (report.counts.deleted, report.counts.matched));
            let scope = restore_of(report.run_id);
            let restored = restore(&engine, &scope, &mut Control::unattended()).unwrap();
            assert!(matches!(restored.outcome, Outcome::Succeeded), "{:?}", restored.outcome);
            assert_eq!(recycle_times_of(&mut conn, "call_data"), before);
        }
        assert_no_violation(&db.store());
    }

    fn another_filter_moves_invalid_values_unchanged(db) {
        let mut conn = db.connect();
        let campaign = campaign(db, 1, &[]);
        for (id, (time, _)) in (100..).zip(recycle_times(db.backend())) {
            plant(&mut conn, campaign, id, time, 0);
        }
        let before = recycle_times_of(&mut conn, "call_data");
        let engine = engine(db.store(), 2);
        let run = manual(campaign, r#"{"customField":"batch"}"#, true);
        let preview = preview_of(&engine, &run, false).unwrap().unwrap();
        assert_eq!(preview.removable, i64::try_from(before.len()).unwrap());
        assert!(!preview.sample.is_empty());
        sweep(&engine, &run);
        assert_eq!(recycle_times_of(&mut conn, "call_data_history"), before);
    }

    fn extreme_ids_and_states(db) {
        let mut conn = db.connect();
        let campaign = campaign(db, 1, &[]);
        for id in [i64::MIN, i64::MIN + 1, -1, 0, 1, i64::MAX - 1, i64::MAX] {
            plant(&mut conn, campaign, id, "'2020-12-04 17:57:00'", 0);
        }
        for (id, status) in [(-7, i16::MIN), (-6, -1), (6, 3), (7, 77), (8, i16::MAX)] {
            plant(&mut conn, campaign, id, "'2020-12-04 17:57:00'", status);
        }
        for members in [DUE, r#"{"customField":"batch"}"#] {
            let engine = engine(db.store(), 2);
            let report = sweep(&engine, &manual(campaign, members, true));
            assert_eq!((report.counts.matched, report.counts.archived, report.counts.barred.unknown_status), (12, 7, 5));
            restore(&engine, &restore_of(report.run_id), &mut Control::unattended()).unwrap();
        }
        assert_no_violation(&db.store());
    }
}
