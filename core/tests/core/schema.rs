//! The migrations: up, down and up again; the live catalogue equals the schema that the code declares.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use callsweep_core::store::{AnyConnection, Backend, migrations};
use callsweep_testkit::on_each_backend;
use diesel::prelude::*;
use diesel::sql_types::Text;

/// The source code of Diesel's schema.
const DIESEL: &str = include_str!("../../src/store/db/schema.rs");

/// A column: table, name, and Diesel's type.
type Column = (String, String, String);

/// The columns of [`DIESEL`], and `table (key, key)` for each table.
fn declared() -> (Vec<Column>, BTreeSet<String>) {
    let (mut columns, mut keys) = (Vec::new(), BTreeSet::new());
    let (mut table, mut sql_name) = (String::new(), None);
    for line in DIESEL.lines().map(str::trim) {
        if let Some((name, key)) = line.strip_suffix(") {").and_then(|line| line.split_once(" (")) {
            table = name.to_owned();
            keys.insert(format!("{name} ({key})"));
        } else if let Some(name) = line.strip_prefix("#[sql_name = \"").and_then(|line| line.strip_suffix("\"]")) {
            sql_name = Some(name.to_owned());
        } else if let Some((name, sql_type)) = line.strip_suffix(',').and_then(|line| line.split_once(" -> ")) {
            columns.push((table.clone(), sql_name.take().unwrap_or_else(|| name.to_owned()), sql_type.to_owned()));
        }
    }
    (columns, keys)
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    line: String,
}

fn lines(conn: &mut AnyConnection, query: &str) -> Vec<String> {
    let rows: Vec<Row> = diesel::sql_query(query).load(conn).unwrap();
    rows.into_iter().map(|row| row.line).filter(|line| !line.contains("__diesel_schema_migrations")).collect()
}

/// `table|column|type|nullable or not` for every column, by table and position.
fn columns(conn: &mut AnyConnection) -> Vec<String> {
    let query = match conn.backend() {
        Backend::Sqlite => {
            "SELECT t.name || '|' || c.name || '|' || lower(c.type) || '|' || CASE c.\"notnull\" WHEN 0 THEN 'YES' ELSE 'NO' END \
             AS line FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' ORDER BY t.name, c.cid"
        }
        Backend::Postgres => {
            "SELECT concat_ws('|', table_name, column_name, data_type || coalesce('(' || character_maximum_length || ')', ''), \
             is_nullable) AS line FROM information_schema.columns WHERE table_schema = current_schema() \
             ORDER BY table_name, ordinal_position"
        }
        Backend::Mysql => {
            "SELECT concat_ws('|', table_name, column_name, \
             IF(data_type = 'varchar', column_type, data_type), is_nullable) AS line FROM information_schema.columns \
             WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position"
        }
    };
    lines(conn, query)
}

/// `table (column, column)` for each primary key.
fn primary_keys(conn: &mut AnyConnection) -> BTreeSet<String> {
    let query = match conn.backend() {
        Backend::Sqlite => {
            "SELECT name || ' (' || group_concat(key, ', ') || ')' AS line FROM (SELECT t.name AS name, c.name AS key \
             FROM sqlite_master t JOIN pragma_table_info(t.name) c WHERE t.type = 'table' AND c.pk > 0 \
             ORDER BY t.name, c.pk) GROUP BY name"
        }
        Backend::Postgres => {
            "SELECT k.table_name || ' (' || string_agg(k.column_name, ', ' ORDER BY k.ordinal_position) || ')' AS line \
             FROM information_schema.key_column_usage k JOIN information_schema.table_constraints c \
             USING (constraint_schema, constraint_name) WHERE c.constraint_type = 'PRIMARY KEY' \
             AND c.constraint_schema = current_schema() GROUP BY k.table_name"
        }
        Backend::Mysql => {
            "SELECT concat(table_name, ' (', group_concat(column_name ORDER BY seq_in_index SEPARATOR ', '), ')') AS line \
             FROM information_schema.statistics WHERE table_schema = DATABASE() AND index_name = 'PRIMARY' \
             GROUP BY table_name"
        }
    };
    lines(conn, query).into_iter().collect()
}

/// Everything else that a migration creates: indexes, constraints, defaults.
fn definitions(conn: &mut AnyConnection) -> Vec<String> {
    let query = match conn.backend() {
        Backend::Sqlite => {
            "SELECT type || ' ' || name || ' ' || coalesce(sql, '') AS line FROM sqlite_master ORDER BY 1"
        }
        Backend::Postgres => {
            "SELECT indexdef AS line FROM pg_indexes WHERE schemaname = current_schema() UNION ALL \
             SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint \
             WHERE connamespace = current_schema()::regnamespace UNION ALL \
             SELECT concat_ws(' ', table_name, column_name, column_default) FROM information_schema.columns \
             WHERE table_schema = current_schema() ORDER BY 1"
        }
        Backend::Mysql => {
            "SELECT concat_ws(' ', table_name, index_name, non_unique, seq_in_index, column_name) AS line \
             FROM information_schema.statistics WHERE table_schema = DATABASE() UNION ALL \
             SELECT concat_ws(' ', table_name, column_name, column_type, column_default, collation_name) \
             FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY 1"
        }
    };
    lines(conn, query)
}

/// Diesel's name for a type of the catalogue.
fn diesel_type(catalogue: &str, nullable: bool) -> String {
    let name = match catalogue.split('(').next().unwrap() {
        "bigint" => "BigInt",
        "integer" | "int" => "Integer",
        "smallint" => "SmallInt",
        "varchar" | "character varying" | "text" => "Text",
        "timestamp" | "timestamp without time zone" | "datetime" => "Timestamp",
        "boolean" | "tinyint" => "Bool",
        other => panic!("unexpected column type {other}"),
    };
    if nullable { format!("Nullable<{name}>") } else { name.to_owned() }
}

#[test]
fn the_three_folders_have_the_same_migrations() {
    let names = |backend: Backend| -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(backend.folder());
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    };
    let sqlite = names(Backend::Sqlite);
    assert!(!sqlite.is_empty());
    assert_eq!(names(Backend::Postgres), sqlite);
    assert_eq!(names(Backend::Mysql), sqlite);
}

on_each_backend! {
    fn down_and_up_again_gives_the_same_schema(db) {
        let mut conn = db.connect();
        let first = (columns(&mut conn), definitions(&mut conn));
        assert!(first.0.len() > 60 && first.1.len() > 10);
        migrations::revert_all(&mut conn).unwrap();
        assert_eq!((columns(&mut conn), definitions(&mut conn)), (vec![], vec![]));
        migrations::run(&mut conn).unwrap();
        assert_eq!((columns(&mut conn), definitions(&mut conn)), first);
    }

    fn the_declared_schema_equals_the_catalogue(db) {
        let mut conn = db.connect();
        let (mut declared, keys) = declared();
        // Sorted by table only: within a table, the order of the columns must be the same.
        declared.sort_by(|a, b| a.0.cmp(&b.0));
        let mut live: Vec<Column> = columns(&mut conn)
            .iter()
            .map(|line| {
                let [table, name, sql_type, nullable] = line.split('|').collect::<Vec<_>>()[..] else { panic!("{line}") };
                (table.to_owned(), name.to_owned(), diesel_type(sql_type, nullable == "YES"))
            })
            .collect();
        live.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(live, declared);
        assert_eq!(primary_keys(&mut conn), keys);
    }

    fn history_has_every_column_of_call_data(db) {
        let all = columns(&mut db.connect());
        let of = |table: &str| -> Vec<String> {
            all.iter().filter_map(|line| line.strip_prefix(&format!("{table}|"))).map(str::to_owned).collect()
        };
        let (number, history) = (of("call_data"), of("call_data_history"));
        assert_eq!(number, history[..number.len()]);
        let names: Vec<&str> = history[number.len()..].iter().map(|line| line.split('|').next().unwrap()).collect();
        assert_eq!(names, ["archived_at", "run_id"]);
    }
}
