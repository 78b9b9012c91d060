//! Columns that users add move with their numbers, come back with them, and are noticed while a process runs.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::sync::{Once, mpsc};
use std::thread;

use callsweep_core::bounds::Bounds;
use callsweep_core::campaign::CampaignId;
use callsweep_core::clock::Clock;
use callsweep_core::engine::restore::restore;
use callsweep_core::engine::{BatchOutcome, Control, Engine, Error, Outcome, PurgeReport, purge, purge_batch, resume};
use callsweep_core::failpoint;
use callsweep_core::result_code::ResultCode;
use callsweep_core::run::{NewRun, RunKind};
use callsweep_core::store::{AnyConnection, Backend, DatabaseSettings, Store, StoreError};
use callsweep_testkit::sample::number;
use callsweep_testkit::tables::{self, ADDED, quoted};
use callsweep_testkit::{TestDatabase, on_each_backend};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable, Text};

use crate::restore::restore_of;
use crate::support::{after_each_chunk, assert_no_violation, campaign, engine, execute, manual, sweep, watch};

const BATCH: &str = r#"{"customField":"batch"}"#;

#[derive(Debug, PartialEq, Eq, QueryableByName)]
struct Value {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Nullable<Text>)]
    value: Option<String>,
}

/// Ids of a table with the values of an expression.
fn values(conn: &mut AnyConnection, table: &str, expression: &str) -> Vec<(i64, Option<String>)> {
    let text = if conn.backend() == Backend::Mysql { "CHAR" } else { "TEXT" };
    let query = format!("SELECT id, CAST({expression} AS {text}) AS value FROM {table} ORDER BY id");
    let rows: Vec<Value> = diesel::sql_query(query).load(conn).unwrap();
    rows.into_iter().map(|row| (row.id, row.value)).collect()
}

fn ten(db: &TestDatabase) -> CampaignId {
    campaign(db, 1, &(1..=10).map(number).collect::<Vec<_>>())
}

/// A column of both tables, with the id as its value in `call_data`.
fn add_to_both(conn: &mut AnyConnection, column: &str) {
    execute(conn, &format!("ALTER TABLE call_data_history ADD COLUMN {column} INTEGER"));
    add_to_numbers(conn, column);
}

fn add_to_numbers(conn: &mut AnyConnection, column: &str) {
    execute(conn, &format!("ALTER TABLE call_data ADD COLUMN {column} INTEGER"));
    execute(conn, &format!("UPDATE call_data SET {column} = id"));
}

/// An engine with one connection.
fn on_one_connection(db: &TestDatabase) -> Engine {
    let settings = DatabaseSettings { pool_size: NonZeroU32::MIN, ..db.settings() };
    engine(Store::open(&settings, Clock::system()).unwrap(), 5_000)
}

fn request(campaign: CampaignId, id: i64, archive: bool) -> NewRun {
    let run = manual(campaign, &format!(r#"{{"sessionId":"s{id}"}}"#), archive);
    NewRun { kind: RunKind::Request, ..run }
}

fn alone(engine: &Engine, run: &NewRun) -> PurgeReport {
    purge(engine, run, &mut Control::unattended()).unwrap()
}

/// How many numbers went by a request that shares a transaction; `None`: it is to be done alone.
fn together(engine: &Engine, run: &NewRun) -> Option<i64> {
    let done = purge_batch(engine, &mut engine.store.connection().unwrap(), std::slice::from_ref(run));
    match &done[..] {
        [BatchOutcome::Committed(report)] => Some(report.counts.archived),
        [BatchOutcome::NotBatched] => None,
        other => panic!("{other:?}"),
    }
}

thread_local! {
    static AT_LOCKED: Cell<Option<Box<dyn FnOnce()>>> = const { Cell::new(None) };
}

/// Runs `work` when a chunk of this thread has locked its campaign the next time.
fn at_locked(work: impl FnOnce() + 'static) {
    static WATCH: Once = Once::new();
    let pass = |point: &str| {
        if point == "locked"
            && let Some(work) = AT_LOCKED.take()
        {
            work();
        }
    };
    WATCH.call_once(|| failpoint::watch(pass));
    AT_LOCKED.set(Some(Box::new(work)));
}

/// How many sessions of this database wait for a lock on a table.
fn alters_waiting(conn: &mut AnyConnection) -> i64 {
    #[derive(QueryableByName)]
    struct Sessions {
        #[diesel(sql_type = BigInt)]
        sessions: i64,
    }
    let query = match conn.backend() {
        Backend::Sqlite => return 0,
        Backend::Postgres => {
            "SELECT count(*) AS sessions FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'relation'"
        }
        Backend::Mysql => {
            "SELECT count(*) AS sessions FROM information_schema.processlist \
             WHERE db = DATABASE() AND state = 'Waiting for table metadata lock'"
        }
    };
    diesel::sql_query(query).get_result::<Sessions>(conn).unwrap().sessions
}

#[track_caller]
fn is_drift(outcome: &Outcome, column: &str) {
    let (Outcome::Failed(error) | Outcome::Refused(error)) = outcome else { panic!("{outcome:?}") };
    assert!(matches!(error, Error::Store(StoreError::HistoryDrift(_))), "{error:?}");
    assert!(error.to_string().contains(&format!("column {column} ")), "{error}");
}

on_each_backend! {
    fn added_columns_go_to_history_and_come_back(db) {
        tables::add_columns(db);
        let (engine, mut conn) = (engine(db.store(), 3), db.connect());
        let here = ten(db);
        let [note, grade, doubled] = ADDED.map(|name| quoted(db.backend(), name));
        let set = format!("UPDATE call_data SET {note} = NULL, {grade} = id, priority = id WHERE id > 1");
        execute(&mut conn, &set);
        let all = |conn: &mut AnyConnection, table| [&note, &grade, &doubled].map(|column| values(conn, table, column));
        let (before, rows) = (all(&mut conn, "call_data"), tables::numbers(&mut conn, here));
        assert_eq!(before[0][..2], [(1, Some("here".to_owned())), (2, None)]);
        assert_eq!(before[2][9], (10, Some("20".to_owned())));
        let run = sweep(&engine, &manual(here, BATCH, true));
        assert_eq!(all(&mut conn, "call_data_history"), before);
        let report = restore(&engine, &restore_of(run.run_id), &mut Control::unattended()).unwrap();
        assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
        assert_eq!((all(&mut conn, "call_data"), tables::numbers(&mut conn, here)), (before, rows));
        assert_no_violation(&engine.store);
    }

    fn a_column_that_history_generates_too_moves(db) {
        let kept = if db.backend() == Backend::Postgres { "STORED" } else { "VIRTUAL" };
        let (engine, mut conn) = (engine(db.store(), 3), db.connect());
        for table in ["call_data", "call_data_history"] {
            let column = format!("doubled INTEGER GENERATED ALWAYS AS (priority * 2) {kept}");
            execute(&mut conn, &format!("ALTER TABLE {table} ADD COLUMN {column}"));
        }
        let run = sweep(&engine, &manual(ten(db), BATCH, true));
        assert_eq!(values(&mut conn, "call_data_history", "doubled")[0], (1, Some("6".to_owned())));
        let report = restore(&engine, &restore_of(run.run_id), &mut Control::unattended()).unwrap();
        assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
        assert_eq!(values(&mut conn, "call_data", "doubled")[9], (10, Some("6".to_owned())));
    }

    fn an_identity_of_postgresql_keeps_its_value(db) {
        if db.backend() != Backend::Postgres {
            return; // The others take a value for it as for any column.
        }
        let (engine, mut conn) = (engine(db.store(), 3), db.connect());
        execute(&mut conn, "ALTER TABLE call_data_history ADD COLUMN seq BIGINT NOT NULL DEFAULT 0");
        execute(&mut conn, "ALTER TABLE call_data ADD COLUMN seq BIGINT GENERATED ALWAYS AS IDENTITY (START 500)");
        let here = ten(db);
        let before = values(&mut conn, "call_data", "seq");
        let run = sweep(&engine, &manual(here, BATCH, true));
        assert_eq!(values(&mut conn, "call_data_history", "seq"), before);
        let report = restore(&engine, &restore_of(run.run_id), &mut Control::unattended()).unwrap();
        assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
        assert_eq!(values(&mut conn, "call_data", "seq"), before);
    }

    fn a_column_that_is_added_between_two_chunks_moves_from_then_on(db) {
        let (engine, mut conn) = (engine(db.store(), 2), db.connect());
        let mut chunks = 0;
        let report = watch(&engine, &manual(ten(db), BATCH, true), |_| {
            chunks += 1;
            match chunks {
                1 => add_to_both(&mut conn, "x"),
                2 => {
                    for table in ["call_data", "call_data_history"] {
                        execute(&mut conn, &format!("ALTER TABLE {table} RENAME COLUMN x TO y"));
                    }
                }
                _ => {}
            }
        });
        assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
        let wanted: Vec<_> = (1..=10).map(|id: i64| (id, (id > 2).then(|| id.to_string()))).collect();
        assert_eq!(values(&mut conn, "call_data_history", "y"), wanted);
        // The same columns take the numbers back.
        let mut chunks = 0;
        let mut control = after_each_chunk(|_| {
            chunks += 1;
            if chunks == 1 {
                execute(&mut conn, "UPDATE call_data SET y = 77");
                for table in ["call_data", "call_data_history"] {
                    execute(&mut conn, &format!("ALTER TABLE {table} RENAME COLUMN y TO z"));
                }
            }
        });
        let report = restore(&engine, &restore_of(report.run_id), &mut control).unwrap();
        drop(control);
        assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
        let wanted: Vec<_> = (1..=10).map(|id: i64| (id, Some(if id > 2 { id } else { 77 }.to_string()))).collect();
        assert_eq!(values(&mut conn, "call_data", "z"), wanted);
    }

    fn a_column_that_history_lacks_ends_a_run_between_two_chunks(db) {
        let (engine, mut conn) = (engine(db.store(), 2), db.connect());
        let here = ten(db);
        let mut chunks = 0;
        let report = watch(&engine, &manual(here, BATCH, true), |_| {
            chunks += 1;
            if chunks == 1 {
                add_to_numbers(&mut conn, "x");
            }
        });
        is_drift(&report.outcome, "x");
        assert_eq!(report.counts.archived, 2);
        assert_eq!((tables::ids(&mut conn, here).len(), tables::history_ids(&mut conn, here).len()), (8, 2));
        // What is added to history then ends the refusal.
        execute(&mut conn, "ALTER TABLE call_data_history ADD COLUMN x INTEGER");
        let report = resume(&engine, report.run_id, Bounds::default(), &mut Control::unattended()).unwrap();
        assert!(matches!(report.outcome, Outcome::Succeeded), "{:?}", report.outcome);
        assert_eq!(values(&mut conn, "call_data_history", "x")[2], (3, Some("3".to_owned())));
        // A restore loses nothing either.
        let mut control = after_each_chunk(|_| execute(&mut conn, "ALTER TABLE call_data_history ADD COLUMN later INTEGER"));
        let restored = restore(&engine, &restore_of(report.run_id), &mut control).unwrap();
        drop(control);
        is_drift(&restored.outcome, "later");
        assert_eq!((tables::ids(&mut conn, here).len(), tables::history_ids(&mut conn, here).len()), (2, 8));
        assert_no_violation(&engine.store);
    }

    fn a_column_that_is_added_between_two_requests_of_one_connection_moves(db) {
        let (engine, mut conn) = (on_one_connection(db), db.connect());
        let here = ten(db);
        assert_eq!(alone(&engine, &request(here, 1, true)).counts.archived, 1);
        assert_eq!(together(&engine, &request(here, 2, true)), Some(1));
        add_to_both(&mut conn, "x");
        assert_eq!(alone(&engine, &request(here, 3, true)).counts.archived, 1);
        assert_eq!(together(&engine, &request(here, 4, true)), Some(1));
        // The first to see it is one that shares its transaction.
        add_to_both(&mut conn, "y");
        assert_eq!(together(&engine, &request(here, 5, true)), Some(1));
        let moved = values(&mut conn, "call_data_history", "COALESCE(y * 100, 0) + x");
        let wanted = [(1, None), (2, None), (3, Some(3)), (4, Some(4)), (5, Some(505))];
        assert_eq!(moved, wanted.map(|(id, value): (i64, Option<i64>)| (id, value.map(|value| value.to_string()))));
        assert_no_violation(&engine.store);
    }

    fn an_alter_waits_for_a_transaction_that_has_read_the_columns(db) {
        if db.backend() == Backend::Sqlite {
            return; // It has one writer: nothing changes during a transaction.
        }
        for (table, id) in [("call_data", 1), ("call_data_history", 2)] {
            let engine = on_one_connection(db);
            let here = campaign(db, id, &[number(1)]);
            let (mut other, mut watcher) = (db.connect(), db.connect());
            let (finished, altered) = mpsc::channel();
            let (tell, told) = mpsc::channel();
            at_locked(move || {
                thread::spawn(move || {
                    execute(&mut other, &format!("ALTER TABLE {table} ADD COLUMN x{id} INTEGER"));
                    finished.send(()).unwrap();
                });
                let mut has_waited = false;
                while !has_waited && altered.try_recv().is_err() {
                    has_waited = alters_waiting(&mut watcher) > 0;
                }
                tell.send((has_waited, altered)).unwrap();
            });
            let report = alone(&engine, &request(here, 1, true));
            // MariaDB may resolve the meeting as a deadlock: then the request is made again, and meets the new column.
            if report.counts.archived != 1 {
                is_drift(&report.outcome, &format!("x{id}"));
                assert_eq!(tables::ids(&mut db.connect(), here).len(), 1);
            }
            let (has_waited, altered) = told.recv().unwrap();
            assert!(has_waited, "{table}");
            altered.recv().unwrap();
            execute(&mut db.connect(), &format!("ALTER TABLE {table} DROP COLUMN x{id}"));
        }
    }

    fn a_request_is_refused_while_history_lacks_a_column(db) {
        let (engine, mut conn) = (on_one_connection(db), db.connect());
        let here = ten(db);
        assert_eq!(together(&engine, &request(here, 1, true)), Some(1));
        add_to_numbers(&mut conn, "x");
        assert_eq!(together(&engine, &request(here, 2, true)), None);
        let report = alone(&engine, &request(here, 2, true));
        is_drift(&report.outcome, "x");
        assert_eq!((report.counts.deleted, report.result_code()), (0, ResultCode::DatabaseError));
        assert_eq!((tables::ids(&mut conn, here).len(), tables::history_ids(&mut conn, here).len()), (9, 1));
        // What goes for good needs no history.
        assert_eq!(together(&engine, &request(here, 3, false)), Some(0));
        assert_eq!(alone(&engine, &request(here, 4, false)).counts.deleted, 1);
        execute(&mut conn, "ALTER TABLE call_data_history ADD COLUMN x INTEGER");
        assert_eq!(together(&engine, &request(here, 2, true)), Some(1));
        assert_eq!(values(&mut conn, "call_data_history", "x"), [(1, None), (2, Some("2".to_owned()))]);
        assert_no_violation(&engine.store);
    }

    fn values_survive_columns_that_come_while_everything_works(db) {
        let here = campaign(db, 1, &(1..=600).map(number).collect::<Vec<_>>());
        let engine = engine(db.store(), 7);
        // Each column is filled in one transaction; what had its value then must have it for ever.
        let marked: Vec<(String, Vec<i64>)> = thread::scope(|scope| {
            let requests = |parity: i64| {
                let engine = &engine;
                move || {
                    for id in (1..=300).filter(|id| id % 2 == parity) {
                        let run = request(here, id, true);
                        if together(engine, &run) != Some(1) {
                            let report = alone(engine, &run);
                            assert!(
                                matches!(report.outcome, Outcome::Succeeded) || report.counts.deleted == 0,
                                "{:?}", report.outcome
                            );
                        }
                    }
                }
            };
            scope.spawn(requests(0));
            scope.spawn(requests(1));
            let sweeping = scope.spawn(|| watch(&engine, &manual(here, r#"{"recycleTime":"2020-12-04 17:57:00","recycleType":"3"}"#, true), |_| ()));
            let mut conn = db.connect();
            if db.backend() == Backend::Mysql {
                execute(&mut conn, "SET SESSION lock_wait_timeout = 60, SESSION innodb_lock_wait_timeout = 60");
            }
            let marked = (0..6).map(|round| {
                let column = format!("x{round}");
                execute(&mut conn, &format!("ALTER TABLE call_data_history ADD COLUMN {column} INTEGER"));
                execute(&mut conn, &format!("ALTER TABLE call_data ADD COLUMN {column} INTEGER"));
                execute(&mut conn, if db.backend() == Backend::Sqlite { "BEGIN IMMEDIATE" } else { "BEGIN" });
                execute(&mut conn, &format!("UPDATE call_data SET {column} = id"));
                let ids = values(&mut conn, "call_data", &column).into_iter().filter(|(_, value)| value.is_some());
                let ids = ids.map(|(id, _)| id).collect();
                execute(&mut conn, "COMMIT");
                (column, ids)
            });
            let marked = marked.collect();
            sweeping.join().unwrap();
            marked
        });
        let mut conn = db.connect();
        assert_eq!(tables::ids(&mut conn, here).len() + tables::history_ids(&mut conn, here).len(), 600);
        for (column, ids) in marked {
            let mut now = values(&mut conn, "call_data", &column);
            now.extend(values(&mut conn, "call_data_history", &column));
            let lost: Vec<_> =
                ids.iter().filter(|id| !now.contains(&(**id, Some(id.to_string())))).collect();
            assert!(lost.is_empty(), "{column} is lost for {lost:?}");
        }
        assert_no_violation(&engine.store);
    }
}
