//! A filter matches byte for byte whatever the column's collation is, along the index, and a difference is reported.

use std::num::NonZeroU32;

use callsweep_core::campaign::CampaignId;
use callsweep_core::clock::Clock;
use callsweep_core::engine::{BatchOutcome, Control, Engine, Outcome, purge, purge_batch};
use callsweep_core::number::{CustomField, NewNumber, SessionId};
use callsweep_core::run::{NewRun, RunKind};
use callsweep_core::store::inspect::{Verdict, inspect};
use callsweep_core::store::{AnyConnection, Backend, DatabaseSettings, Store, campaigns, migrations, text};
use callsweep_testkit::sample::{number, vdn};
use callsweep_testkit::{TestDatabase, on_each_backend, tables};
use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};
use url::Url;

use crate::support::{assert_no_violation, campaign, engine, execute, manual, preview_of, sweep};

/// Equal by a collation that ignores case, accents or spaces at the end; to Callsweep each is another text.
const SIMILAR: [&str; 6] = ["SPRING", "Spring", "spring", "spring ", "spríng", "ｓｐｒｉｎｇ"];
/// Place of the one that the tests ask for.
const ASKED_FOR: i64 = 2;

/// Gives the columns of the filters, and of campaigns, a collation that ignores case.
fn ignore_case(conn: &mut AnyConnection) {
    match conn.backend() {
        Backend::Sqlite => {
            for (column, length) in [("session_id", 32), ("custom_field", 200)] {
                execute(
                    conn,
                    &format!(
                        "DROP INDEX call_data_{column}; ALTER TABLE call_data DROP COLUMN {column}; \
                         ALTER TABLE call_data ADD COLUMN {column} VARCHAR({length}) COLLATE NOCASE; \
                         CREATE INDEX call_data_{column} ON call_data (campaign_id, {column}, id)"
                    ),
                );
            }
        }
        Backend::Postgres => {
            execute(
                conn,
                "CREATE COLLATION lenient (provider = icu, locale = 'und-u-ks-level1', deterministic = false); \
                 ALTER TABLE call_data ALTER session_id TYPE VARCHAR(32) COLLATE lenient, \
                 ALTER custom_field TYPE VARCHAR(200) COLLATE lenient; \
                 ALTER TABLE campaign ALTER name TYPE VARCHAR(100) COLLATE lenient",
            );
        }
        Backend::Mysql => {
            for table in ["call_data", "campaign"] {
                let convert = "CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci";
                execute(conn, &format!("ALTER TABLE {table} {convert}"));
            }
        }
    }
}

fn similar() -> Vec<NewNumber> {
    let of = |(id, text): (i64, &str)| NewNumber {
        session_id: Some(SessionId::parse(text).unwrap()),
        custom_field: Some(CustomField::parse(text).unwrap()),
        ..number(id)
    };
    (0..).zip(SIMILAR).map(of).collect()
}

fn request(campaign: CampaignId, members: &str) -> NewRun {
    NewRun { kind: RunKind::Request, ..manual(campaign, members, true) }
}

fn one_connection(db: &TestDatabase) -> Engine {
    let settings = DatabaseSettings { pool_size: NonZeroU32::MIN, ..db.settings() };
    engine(Store::open(&settings, Clock::system()).unwrap(), 5_000)
}

#[derive(QueryableByName)]
struct Logged {
    #[diesel(sql_type = Text)]
    statement: String,
}

/// How MariaDB reads a table for one statement.
#[derive(Debug, QueryableByName)]
struct Plan {
    #[diesel(sql_type = Nullable<Text>)]
    key: Option<String>,
    /// A number.
    #[diesel(sql_type = Nullable<Text>)]
    rows: Option<String>,
}

impl Plan {
    fn reads_many(&self) -> bool {
        self.rows.as_ref().is_some_and(|rows| rows.parse::<i64>().unwrap() > 10)
    }
}

on_each_backend! {
    fn only_identical_texts_are_removed(db) {
        let mut conn = db.connect();
        ignore_case(&mut conn);
        let engine = engine(db.store(), 5_000);
        let members = [r#"{"customField":"spring"}"#, r#"{"sessionId":"spring"}"#, r#"{"sessionId":"spring","customField":"spring"}"#];
        let mut next = 1..;
        for members in members {
            let shared = NewRun { kind: RunKind::Manual, ..request(campaign(db, next.next().unwrap(), &similar()), members) };
            assert_eq!(preview_of(&engine, &shared, false).unwrap().unwrap().removable, 1, "{members}");
            assert_eq!(sweep(&engine, &shared).counts.archived, 1, "{members}");
            let alone = request(campaign(db, next.next().unwrap(), &similar()), members);
            let report = purge(&engine, &alone, &mut Control::unattended()).unwrap();
            assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
            assert_eq!(report.counts.archived, 1, "{members}");
            for run in [shared, alone] {
                let left = tables::ids(&mut conn, run.targets[0].campaign_id);
                assert_eq!(Vec::from_iter(left), [0, 1, 3, 4, 5], "{members}");
            }
        }
        let here = campaign(db, next.next().unwrap(), &similar());
        let runs = ["spring", "SPRING"].map(|text| request(here, &format!(r#"{{"sessionId":"{text}"}}"#)));
        let done = purge_batch(&engine, &mut engine.store.connection().unwrap(), &runs);
        let [BatchOutcome::Committed(first), BatchOutcome::Committed(second)] = &done[..] else { panic!("{done:?}") };
        assert_eq!((first.counts.archived, second.counts.archived), (1, 1));
        let left = tables::ids(&mut conn, here);
        assert!(!left.contains(&ASKED_FOR) && !left.contains(&0) && left.len() == 4, "{left:?}");
        assert!(campaigns::find_by_name(&mut conn, vdn(), "Campaign 1").unwrap().is_none());
        assert!(campaigns::find_by_name(&mut conn, vdn(), "campaign 1").unwrap().is_some());
        assert_no_violation(&engine.store);
    }

    fn the_index_is_still_used(db) {
        if db.backend() != Backend::Mysql {
            return; // Their walks are held to their indexes by settings of the session.
        }
        let mut conn = db.connect();
        ignore_case(&mut conn);
        let (engine, id) = (one_connection(db), 987_654_321);
        let of = |id: i64| {
            let text = format!("t{}", id / 3);
            NewNumber { session_id: SessionId::parse(&text).ok(), custom_field: CustomField::parse(&text).ok(), ..number(id) }
        };
        let here = campaign(db, id, &(0..3_000).map(of).collect::<Vec<_>>());
        execute(&mut conn, "ANALYZE TABLE call_data; SET GLOBAL log_output = 'TABLE', GLOBAL general_log = 1");
        for (filter, value) in [("customField", "t7"), ("sessionId", "t8")] {
            let report = purge(&engine, &request(here, &format!(r#"{{"{filter}":"{value}"}}"#)), &mut Control::unattended());
            assert_eq!(report.unwrap().counts.archived, 3);
        }
        execute(&mut conn, "SET GLOBAL general_log = 0");
        let logged: Vec<Logged> = diesel::sql_query(format!(
            "SELECT CAST(argument AS CHAR) AS statement FROM mysql.general_log WHERE command_type = 'Execute' \
             AND argument LIKE '%{id}%' AND argument LIKE '%AS BINARY) =%'"
        )).load(&mut conn).unwrap();
        // Each request looks for its window, copies it and deletes it.
        assert!(logged.len() >= 6, "{}", logged.len());
        for Logged { statement } in logged {
            let plans: Vec<Plan> = diesel::sql_query(format!("EXPLAIN {statement}")).load(&mut conn).unwrap();
            let index = if statement.contains("custom_field = ") { "call_data_custom_field" } else { "call_data_session_id" };
            let reads_few = plans.iter().any(|plan| plan.key.as_deref() == Some(index) && !plan.reads_many());
            let reads_many = plans.iter().any(Plan::reads_many);
            assert!(reads_few && !reads_many, "{statement}\n{plans:?}");
        }
    }

    fn a_collation_that_does_not_compare_bytes_is_reported(db) {
        let mut conn = db.connect();
        assert_eq!(text::problems(&mut conn).unwrap(), Vec::<String>::new());
        ignore_case(&mut conn);
        let problems = text::problems(&mut conn).unwrap();
        let finding = inspect(&mut conn).unwrap().into_iter().find(|finding| finding.topic == "text").unwrap();
        let name = match db.backend() {
            Backend::Sqlite => return assert_eq!((problems.len(), finding.verdict), (0, Verdict::Ok)),
            Backend::Postgres => "call_data.custom_field is lenient",
            Backend::Mysql => "call_data.custom_field is utf8mb4_general_ci",
        };
        assert!(problems[0].contains(name) && problems[0].contains("Run: ALTER TABLE"), "{problems:?}");
        assert!(finding.verdict == Verdict::Warning && finding.detail.contains(name), "{finding:?}");
        // Columns that users add are none of Callsweep's.
        if db.backend() == Backend::Mysql {
            let back = "CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin";
            execute(&mut conn, &format!("ALTER TABLE call_data {back}; ALTER TABLE campaign {back}"));
            execute(&mut conn, "ALTER TABLE call_data ADD COLUMN note VARCHAR(9) COLLATE utf8mb4_general_ci");
            assert_eq!(text::problems(&mut conn).unwrap(), Vec::<String>::new());
        }
    }

    fn an_encoding_that_is_not_utf8_is_reported(db) {
        if db.backend() != Backend::Postgres {
            return; // The others have no encoding of the database that matters.
        }
        for encoding in ["LATIN1", "SQL_ASCII"] {
            let mut url: Url = db.url().parse().unwrap();
            let name = format!("{}_{}", url.path().trim_start_matches('/'), encoding.to_lowercase());
            let create = format!("CREATE DATABASE {name} ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0");
            execute(&mut db.connect(), &create);
            url.set_path(&name);
            let settings = DatabaseSettings { url: String::from(url).into(), ..db.settings() };
            let store = Store::open(&settings, Clock::system()).unwrap();
            migrations::run(&mut store.connection().unwrap()).unwrap();
            let problems = text::problems(&mut store.connection().unwrap()).unwrap();
            assert!(problems.len() == 1 && problems[0].contains(&format!("the encoding {encoding}")), "{problems:?}");
            drop(store);
            execute(&mut db.connect(), &format!("DROP DATABASE {name} WITH (FORCE)"));
        }
    }
}
