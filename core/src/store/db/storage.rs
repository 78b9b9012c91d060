//! Checks that the storage of our tables is transactional and durable.
//!
//! In a MyISAM table the deletes of a chunk that is rolled back remain, so its numbers would be in no table. A table that
//! cannot roll back is refused before anything is removed.

use diesel::prelude::*;
use diesel::sql_types::Text;

use super::any_connection::AnyConnection;
use super::backend::Backend;
use super::error::StoreError;
use super::statement::Statement;
pub use super::unsafe_table::UnsafeTable;

/// Every table that our transactions write to or lock.
pub(crate) const TABLES: [&str; 7] = [
    "call_data",
    "call_data_history",
    "campaign",
    "campaign_lease",
    "purge_run",
    "purge_run_campaign",
    "purge_run_control",
];

/// Engines that claim to be transactional, but report wrong row counts or do not lock rows: SPIDER reports 0 affected rows
/// for a DELETE that it forwards, FEDERATED cannot lock a row, COLUMNSTORE has no row locks.
const UNTRUSTED: [&str; 3] = ["SPIDER", "FEDERATED", "COLUMNSTORE"];

/// Refuses tables in which numbers could be lost.
///
/// # Errors
/// [`StoreError::UnsafeTable`], or the database's.
pub fn check(conn: &mut AnyConnection) -> Result<(), StoreError> {
    match find_unsafe(conn)?.into_iter().next() {
        Some(table) => Err(table.into()),
        None => Ok(()),
    }
}

/// The tables in which numbers could be lost, including the partitions of a table and the tables of a view.
///
/// # Errors
/// The database's.
pub fn find_unsafe(conn: &mut AnyConnection) -> Result<Vec<UnsafeTable>, StoreError> {
    match conn.backend() {
        // All tables of a SQLite file are in the same transaction.
        Backend::Sqlite => Ok(Vec::new()),
        Backend::Postgres => postgres(conn),
        Backend::Mysql => mysql(conn),
    }
}

fn postgres(conn: &mut AnyConnection) -> Result<Vec<UnsafeTable>, StoreError> {
    #[derive(QueryableByName)]
    struct Relation {
        #[diesel(sql_type = Text)]
        name: String,
        #[diesel(sql_type = Text)]
        kind: String,
    }
    let head = "/* storage::relations */ WITH RECURSIVE below AS (SELECT oid FROM pg_class WHERE oid IN (";
    let ours = Statement::new(head).list(&TABLES, |list, table| list.sql("to_regclass(").text(table).sql(")"));
    // Partitions, and the tables of a view.
    let tail = ") UNION SELECT next.oid FROM below CROSS JOIN LATERAL (\
                SELECT i.inhrelid AS oid FROM pg_inherits i WHERE i.inhparent = below.oid UNION ALL \
                SELECT d.refobjid FROM pg_rewrite r JOIN pg_depend d ON d.classid = CAST('pg_rewrite' AS regclass) \
                AND d.objid = r.oid AND d.refclassid = CAST('pg_class' AS regclass) AND d.refobjid <> r.ev_class \
                WHERE r.ev_class = below.oid) next) \
                SELECT CAST(CAST(c.oid AS regclass) AS TEXT) AS name, CAST(c.relkind AS TEXT) AS kind \
                FROM below JOIN pg_class c ON c.oid = below.oid \
                WHERE c.relkind = 'f' OR c.relkind IN ('r', 'p') AND c.relpersistence = 'u' ORDER BY 1";
    let found: Vec<Relation> = ours.sql(tail).load(conn)?;
    let unsafe_table = |Relation { name: table, kind }| match kind.as_str() {
        "f" => UnsafeTable::Foreign { table },
        _ => UnsafeTable::Unlogged { table },
    };
    Ok(found.into_iter().map(unsafe_table).collect())
}

/// A table of MariaDB or MySQL.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
struct Table {
    /// Quoted, with its schema if that is another one.
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    kind: String,
    /// Empty for a view, and for a table that the server cannot open.
    #[diesel(sql_type = Text)]
    engine: String,
    /// `YES` or `NO`; empty for an engine that is not installed.
    #[diesel(sql_type = Text)]
    transactions: String,
    /// The definition of a view, if the user may see it. It contains its tables as `` `schema`.`table` ``.
    #[diesel(sql_type = Text)]
    view_definition: String,
}

impl Table {
    fn is_view(&self) -> bool {
        self.kind == "VIEW"
    }

    fn unsafe_table(&self) -> Option<UnsafeTable> {
        let table = self.name.clone();
        let engine = if self.engine.is_empty() { "(unknown)".to_owned() } else { self.engine.clone() };
        if UNTRUSTED.contains(&engine.to_uppercase().as_str()) {
            return Some(UnsafeTable::Untrusted { table, engine });
        }
        (self.transactions != "YES").then_some(UnsafeTable::NoTransactions { table, engine })
    }
}

const DESCRIBE: &str = "/* storage::tables */ SELECT CAST(CONCAT(\
    CASE WHEN t.table_schema = DATABASE() THEN '' ELSE CONCAT('`', REPLACE(t.table_schema, '`', '``'), '`.') END, \
    '`', REPLACE(t.table_name, '`', '``'), '`') AS CHAR) AS name, CAST(t.table_type AS CHAR) AS kind, \
    CAST(COALESCE(t.engine, '') AS CHAR) AS engine, CAST(COALESCE(e.transactions, '') AS CHAR) AS transactions, \
    CAST(COALESCE(v.view_definition, '') AS CHAR) AS view_definition \
    FROM information_schema.tables t LEFT JOIN information_schema.engines e ON e.engine = t.engine \
    LEFT JOIN information_schema.views v ON v.table_schema = t.table_schema AND v.table_name = t.table_name WHERE ";

fn mysql(conn: &mut AnyConnection) -> Result<Vec<UnsafeTable>, StoreError> {
    let ours = Statement::new(DESCRIBE).sql("t.table_schema = DATABASE() AND t.table_name IN (");
    let mut tables: Vec<Table> = ours.list(&TABLES, |list, table| list.text(table)).sql(")").load(conn)?;
    let mut next = 0;
    // MariaDB's catalogue does not list the tables of a view.
    while let Some(table) = tables.get(next) {
        if table.is_view() {
            let below = Statement::new(DESCRIBE).sql("INSTR(").text(&table.view_definition);
            let name =
                ", CONCAT('`', REPLACE(t.table_schema, '`', '``'), '`.`', REPLACE(t.table_name, '`', '``'), '`'))";
            let below: Vec<Table> = below.sql(name).load(conn)?;
            for table in below {
                if !tables.contains(&table) {
                    tables.push(table);
                }
            }
        }
        next += 1;
    }
    Ok(tables.iter().filter(|table| !table.is_view()).filter_map(Table::unsafe_table).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_judged_by_what_it_can_and_by_its_name() {
        let judge = |engine: &str, transactions: &str| {
            let table = Table {
                name: "`call_data`".to_owned(),
                kind: "BASE TABLE".to_owned(),
                engine: engine.to_owned(),
                transactions: transactions.to_owned(),
                view_definition: String::new(),
            };
            table.unsafe_table().map(|found| found.to_string())
        };
        assert_eq!(judge("InnoDB", "YES"), None);
        assert_eq!(judge("ROCKSDB", "YES"), None);
        for (engine, transactions) in [("MyISAM", "NO"), ("Aria", "NO"), ("MEMORY", "NO"), ("GONE", ""), ("", "")] {
            let text = judge(engine, transactions).unwrap();
            assert!(text.contains("ALTER TABLE `call_data` ENGINE=InnoDB"), "{text}");
        }
        // They say that they have transactions.
        for engine in ["SPIDER", "Federated", "Columnstore"] {
            let text = judge(engine, "YES").unwrap();
            assert!(text.contains(engine) && text.contains("cannot be trusted"), "{text}");
        }
    }
}
