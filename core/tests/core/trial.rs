//! `doctor` archives and restores a number in a transaction that it rolls back, and finds what no catalogue tells.

use callsweep_core::clock::Clock;
use callsweep_core::store::inspect::{Verdict, inspect};
use callsweep_core::store::{AnyConnection, Backend, DatabaseSettings, Store};
use callsweep_testkit::sample::number;
use callsweep_testkit::{TestDatabase, on_each_backend, tables};
use diesel::prelude::*;
use url::Url;

use crate::support::{assert_no_violation, begin, campaign, engine, execute, manual, sweep};

fn finding(conn: &mut AnyConnection, topic: &str) -> (Verdict, String) {
    let finding = inspect(conn).unwrap().into_iter().find(|finding| finding.topic == topic).unwrap();
    (finding.verdict, finding.detail)
}

fn trial(conn: &mut AnyConnection) -> (Verdict, String) {
    finding(conn, "trial archive")
}

#[track_caller]
fn fails(conn: &mut AnyConnection, words: &[&str]) {
    let (verdict, detail) = trial(conn);
    assert!(verdict == Verdict::Failure && words.iter().all(|words| detail.contains(words)), "{detail}");
}

/// A store whose role may only read.
fn reader(db: &TestDatabase) -> Store {
    let mut url: Url = db.url().parse().unwrap();
    let name = url.path().trim_start_matches('/').replace("callsweep_test", "reader");
    let create = match db.backend() {
        Backend::Sqlite => unreachable!("SQLite has no roles"),
        Backend::Postgres => {
            format!("CREATE ROLE {name} LOGIN PASSWORD 'secret'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")
        }
        Backend::Mysql => format!(
            "CREATE USER '{name}'@'127.0.0.1' IDENTIFIED BY 'secret'; GRANT SELECT ON {}.* TO '{name}'@'127.0.0.1'",
            url.path().trim_start_matches('/')
        ),
    };
    execute(&mut db.connect(), &create);
    url.set_username(&name).unwrap();
    url.set_password(Some("secret")).unwrap();
    Store::open(&DatabaseSettings { url: String::from(url).into(), ..db.settings() }, Clock::system()).unwrap()
}

on_each_backend! {
    fn a_trial_leaves_nothing_behind(db) {
        let (engine, mut conn) = (engine(db.store(), 5_000), db.connect());
        assert_eq!(trial(&mut conn), (Verdict::Ok, "skipped: call_data has no numbers".to_owned()));
        tables::add_columns(db);
        let here = campaign(db, 1, &[number(1), number(2)]);
        for _ in 0..2 {
            let before = (tables::numbers(&mut conn, here), tables::history(&mut conn, here));
            let (verdict, detail) = trial(&mut conn);
            assert!(verdict == Verdict::Ok && detail.contains("rolled back"), "{detail}");
            assert_eq!((tables::numbers(&mut conn, here), tables::history(&mut conn, here)), before);
            // Once more beside a run, whose id history then refers to.
            sweep(&engine, &manual(here, r#"{"sessionId":"s2"}"#, true));
            if db.backend() != Backend::Sqlite {
                let foreign = "ADD CONSTRAINT of_run FOREIGN KEY (run_id) REFERENCES purge_run (id)";
                // The second time it is there.
                let _ = diesel::sql_query(format!("ALTER TABLE call_data_history {foreign}")).execute(&mut conn);
            }
        }
        assert_no_violation(&engine.store);
    }

    fn a_trigger_that_keeps_rows_from_history_is_found(db) {
        let mut conn = db.connect();
        let here = campaign(db, 1, &[number(1)]);
        let (trigger, words) = match db.backend() {
            Backend::Sqlite => (
                "CREATE TRIGGER leave_out BEFORE INSERT ON call_data_history BEGIN SELECT RAISE(IGNORE); END",
                "of 1 row(s) 0 came to the other table",
            ),
            Backend::Postgres => (
                "CREATE FUNCTION leave_out() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; \
                 CREATE TRIGGER leave_out BEFORE INSERT ON call_data_history FOR EACH ROW EXECUTE FUNCTION leave_out()",
                "of 1 row(s) 0 came to the other table",
            ),
            Backend::Mysql => (
                "CREATE TRIGGER leave_out BEFORE INSERT ON call_data_history FOR EACH ROW \
                 SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not today'",
                "not today",
            ),
        };
        execute(&mut conn, trigger);
        fails(&mut conn, &["archiving a number fails", words]);
        assert_eq!((tables::ids(&mut conn, here).len(), tables::history_ids(&mut conn, here).len()), (1, 0));
    }

    fn a_constraint_that_keeps_rows_from_returning_is_found(db) {
        let mut conn = db.connect();
        campaign(db, 1, &[number(1)]);
        let trigger = match db.backend() {
            Backend::Sqlite => {
                "CREATE TRIGGER stay BEFORE INSERT ON call_data BEGIN SELECT RAISE(ABORT, 'not today'); END"
            }
            Backend::Postgres => {
                "CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE ''not today''; END'; \
                 CREATE TRIGGER stay BEFORE INSERT ON call_data FOR EACH ROW EXECUTE FUNCTION stay()"
            }
            Backend::Mysql => {
                "CREATE TRIGGER stay BEFORE INSERT ON call_data FOR EACH ROW \
                 SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'not today'"
            }
        };
        execute(&mut conn, trigger);
        fails(&mut conn, &["restoring it fails", "not today"]);
    }

    fn a_constraint_that_is_checked_at_commit_is_found(db) {
        if db.backend() != Backend::Postgres {
            return; // The others check at once, or (SQLite) only with foreign keys on, which Callsweep leaves off.
        }
        let mut conn = db.connect();
        campaign(db, 1, &[number(1)]);
        execute(&mut conn, "CREATE TABLE allowed (priority SMALLINT PRIMARY KEY); ALTER TABLE call_data_history ADD \
            CONSTRAINT only_allowed FOREIGN KEY (priority) REFERENCES allowed DEFERRABLE INITIALLY DEFERRED");
        fails(&mut conn, &["archiving a number fails", "only_allowed"]);
    }

    fn a_required_column_without_a_default_is_found(db) {
        let mut conn = db.connect();
        campaign(db, 1, &[number(1)]);
        execute(&mut conn, "ALTER TABLE call_data_history ADD COLUMN agent INTEGER NOT NULL DEFAULT 1");
        // SQLite adds such a column only with a default. It is made anew without.
        if db.backend() == Backend::Sqlite {
            let made: String = diesel::dsl::sql::<diesel::sql_types::Text>(
                "SELECT replace(sql, ' DEFAULT 1', '') FROM sqlite_master WHERE name = 'call_data_history'"
            ).get_result(&mut conn).unwrap();
            execute(&mut conn, &format!("DROP TABLE call_data_history; {made}"));
        } else {
            execute(&mut conn, "ALTER TABLE call_data_history ALTER COLUMN agent DROP DEFAULT");
        }
        let (verdict, detail) = finding(&mut conn, "history table");
        assert!(verdict == Verdict::Failure && detail.contains("column agent of call_data_history is NOT NULL"), "{detail}");
        assert_eq!(trial(&mut conn), (Verdict::Ok, "skipped: the columns of the tables differ".to_owned()));
    }

    fn a_role_that_may_not_insert_does_not_try(db) {
        if db.backend() == Backend::Sqlite {
            return; // It has no roles.
        }
        campaign(db, 1, &[number(1)]);
        let store = reader(db);
        let (verdict, detail) = trial(&mut store.connection().unwrap());
        assert_eq!((verdict, detail.as_str()), (Verdict::Ok, "skipped: no INSERT right on call_data_history"));
    }

    fn a_number_that_is_locked_is_not_waited_for_long(db) {
        if db.backend() == Backend::Sqlite {
            return; // The writer has the whole file.
        }
        let here = campaign(db, 1, &[number(1)]);
        let store = db.store();
        let mut holder = begin(db, &format!("UPDATE call_data SET priority = 4 WHERE campaign_id = {here}"));
        let (verdict, detail) = trial(&mut store.connection().unwrap());
        assert!(verdict == Verdict::Ok && detail.starts_with("skipped: "), "{detail}");
        execute(&mut holder, "COMMIT");
        let (verdict, detail) = trial(&mut store.connection().unwrap());
        assert!(verdict == Verdict::Ok && detail.contains("rolled back"), "{detail}");
    }
}
