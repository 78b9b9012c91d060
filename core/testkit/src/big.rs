//! Much data for benchmarks, made by the server itself: a million numbers in seconds, the same every time.
//!
//! Two campaigns of one VDN, half of the numbers each. Recycle times lie on 32 days from [`FIRST_DAY`] and have nothing
//! to do with the order of the ids; every fifth number is barred by its status. One number in 400 is much older:
//! what a sweep finds that looks for little. By one number in 1,000 a customField changes, as deliveries of leads do.

use diesel::connection::SimpleConnection as _;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::{TestDatabase, sample};
use callsweep_core::campaign::{CampaignId, CampaignStatus};
use callsweep_core::store::{AnyConnection, Backend};

/// The first of the 32 days of recycle times.
pub const FIRST_DAY: &str = "2026-01-01";
/// `--recycle-time` with type 1 that takes a quarter of the days, and so a fifth of the numbers.
pub const UP_TO_A_QUARTER: &str = "2026-01-08 00:00:00";
/// `--recycle-time` with type 1 that takes the old ones alone: one number in 500.
pub const UP_TO_THE_OLD: &str = "2025-12-15 00:00:00";

/// The two campaigns.
#[must_use]
pub fn campaigns() -> [CampaignId; 2] {
    [1, 2].map(|id| CampaignId::try_from(id).expect("a campaign's id"))
}

/// The four indexes beside the primary key: name and columns, as the migrations have them.
const INDEXES: [(&str, &str); 4] = [
    ("call_data_session_id", "campaign_id, session_id, id"),
    ("call_data_called", "campaign_id, called, id"),
    ("call_data_custom_field", "campaign_id, custom_field, id"),
    ("call_data_recycle_time", "campaign_id, recycle_time, id"),
];

/// A new database with `rows` numbers, whose statistics are fresh.
#[must_use]
pub fn database(backend: Backend, rows: i64) -> TestDatabase {
    let db = TestDatabase::new(backend);
    let mut conn = db.connect();
    for id in campaigns() {
        sample::campaign(&mut conn, id.get(), CampaignStatus::Suspended);
    }
    load(&mut conn, rows);
    drop(conn);
    db
}

/// Fills an empty `call_data`. Indexes are built afterwards, from the sorted rows: quicker, and they are whole.
fn load(conn: &mut AnyConnection, rows: i64) {
    let backend = conn.backend();
    let of_table = if backend == Backend::Mysql { " ON call_data" } else { "" };
    let drop = INDEXES.map(|(name, _)| format!("DROP INDEX {name}{of_table};")).concat();
    let create = if backend == Backend::Mysql {
        let keys = INDEXES.map(|(name, columns)| format!("ADD INDEX {name} ({columns})"));
        format!("ALTER TABLE call_data {};", keys.join(", "))
    } else {
        INDEXES.map(|(name, columns)| format!("CREATE INDEX {name} ON call_data ({columns});")).concat()
    };
    let statistics = match backend {
        Backend::Sqlite => "ANALYZE;",
        Backend::Postgres => "VACUUM (ANALYZE, FREEZE) call_data;",
        Backend::Mysql => "ANALYZE TABLE call_data;",
    };
    for sql in [drop, insert(backend, rows), create, statistics.to_owned()] {
        conn.batch_execute(&sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
}

/// One statement in the dialect of the backend. `n` numbers the rows, `a` and `b` are numbers up to 2^31 that look drawn
/// at random: a step of a generator, and its square.
fn insert(backend: Backend, rows: i64) -> String {
    let half = rows / 2;
    let (numbers, with) = match backend {
        Backend::Postgres => (format!("(SELECT n FROM generate_series(1::bigint, {rows}) n)"), ""),
        Backend::Mysql => (format!("(SELECT CAST(seq AS SIGNED) AS n FROM seq_1_to_{rows})"), ""),
        Backend::Sqlite => (
            "numbered".to_owned(),
            "WITH RECURSIVE numbered (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbered WHERE n < :rows) ",
        ),
    };
    let with = with.replace(":rows", &rows.to_string());
    // The old ones are of one day, long before the first.
    let seconds = "CASE WHEN b % 400 = 7 THEN -20 * 86400 + b % 86400 ELSE b % (32 * 86400) END";
    let recycle_time = match backend {
        Backend::Postgres => format!("TIMESTAMP '{FIRST_DAY}' + ({seconds}) * INTERVAL '1 second'"),
        Backend::Mysql => format!("CAST('{FIRST_DAY}' AS DATETIME(6)) + INTERVAL ({seconds}) SECOND"),
        // As Diesel writes times: a fraction of zero is left out. SQLite compares them as text.
        Backend::Sqlite => format!("datetime('{FIRST_DAY}', ({seconds}) || ' seconds')"),
    };
    let text = |parts: &[&str]| match backend {
        Backend::Mysql => format!("CONCAT({})", parts.join(", ")),
        Backend::Sqlite | Backend::Postgres => parts.join(" || "),
    };
    let (session_id, called) = (text(&["'s'", "n"]), text(&["'1380'", "(10000000 + a % 90000000)"]));
    let custom_field = text(&["'batch-'", "(n - n % 1000)"]);
    let call_data = text(&["'{\"name\":\"somebody\",\"contract\":'", "n", "'}'"]);
    let status = "CASE n % 20 WHEN 0 THEN 1 WHEN 5 THEN 2 WHEN 10 THEN 5 WHEN 15 THEN 6 ELSE 0 END";
    let created = "'2025-12-01 00:00:00'";
    let created = if backend == Backend::Postgres { format!("TIMESTAMP {created}") } else { created.to_owned() };
    format!(
        "INSERT INTO call_data (campaign_id, id, session_id, called, caller, custom_field, call_data, priority, \
         recycle_time, status, created_at, updated_at) {with}\
         SELECT CASE WHEN n <= {half} THEN 1 ELSE 2 END, n, {session_id}, {called}, '4001234567', {custom_field}, \
         {call_data}, 3, {recycle_time}, {status}, {created}, {created} \
         FROM (SELECT n, a, a * a % 2147483647 AS b FROM (SELECT n, n * 48271 % 2147483647 AS a FROM {numbers} one) two) \
         three ORDER BY n"
    )
}

/// Rows of both tables.
#[must_use]
pub fn counts(conn: &mut AnyConnection) -> (i64, i64) {
    (count(conn, "call_data"), count(conn, "call_data_history"))
}

/// Numbers that a sweep with `--recycle-type 1 --recycle-time <upto>` would take, counted without the store. `upto` is a
/// midnight: type 1 takes the whole day.
#[must_use]
pub fn removable(conn: &mut AnyConnection, upto: &str) -> i64 {
    let day = sample::time(upto) + chrono::TimeDelta::days(1);
    count(conn, &format!("call_data WHERE status = 0 AND recycle_time < '{}'", day.format("%F %T")))
}

fn count(conn: &mut AnyConnection, of: &str) -> i64 {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        rows: i64,
    }
    let counted: Count = diesel::sql_query(format!("SELECT count(*) AS {} FROM {of}", quoted_rows(conn.backend())))
        .get_result(conn)
        .expect("counts rows");
    counted.rows
}

/// `rows` is a word of SQL.
fn quoted_rows(backend: Backend) -> &'static str {
    if backend == Backend::Mysql { "`rows`" } else { "\"rows\"" }
}

#[cfg(test)]
mod tests {
    use super::*;

    crate::on_each_backend! {
        fn the_data_is_as_it_says_and_the_same_on_every_backend(db) {
            let mut conn = db.connect();
            for id in campaigns() {
                sample::campaign(&mut conn, id.get(), CampaignStatus::Suspended);
            }
            load(&mut conn, 20_000);
            assert_eq!(counts(&mut conn), (20_000, 0));
            let found = (removable(&mut conn, UP_TO_A_QUARTER), removable(&mut conn, UP_TO_THE_OLD));
            // A fifth, and one in 500.
            assert_eq!(found, (4_065, 38));
        }
    }
}
