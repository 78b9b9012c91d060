//! Whether the database stores and compares text as Callsweep does: as UTF-8, by its bytes.

use diesel::prelude::*;
use diesel::sql_types::Text;

use crate::store::db::statement::Statement;
use crate::store::db::{AnyConnection, Backend, StoreError, storage};

/// Columns that a text names, of all that there are.
const NAMED: usize = 8;

/// The texts of `call_data` and its history that are Callsweep's own; of the other tables all are.
const OWN: [&str; 5] = ["call_data", "called", "caller", "custom_field", "session_id"];

const CONSEQUENCE: &str = "filters still match byte for byte, but unique names and keys are compared by the collation";

/// An encoding or collation that differs, each with its consequence and the way out. Empty: there is none.
///
/// # Errors
/// The database's.
pub fn problems(conn: &mut AnyConnection) -> Result<Vec<String>, StoreError> {
    match conn.backend() {
        // A text is what it was written as.
        Backend::Sqlite => Ok(Vec::new()),
        Backend::Postgres => Ok(encoding(conn)?.into_iter().chain(collations(conn)?).collect()),
        Backend::Mysql => Ok(collations(conn)?.into_iter().collect()),
    }
}

#[derive(QueryableByName)]
struct Value {
    #[diesel(sql_type = Text)]
    value: String,
}

fn encoding(conn: &mut AnyConnection) -> Result<Option<String>, StoreError> {
    let query = "/* text::encoding */ SELECT current_setting('server_encoding') AS value";
    let encoding: Value = Statement::new(query).get_result(conn)?;
    let way_out = "Create a database with ENCODING 'UTF8' and move the tables there";
    Ok(match encoding.value.as_str() {
        "UTF8" => None,
        "SQL_ASCII" => Some(format!(
            "the database has the encoding SQL_ASCII: lengths are counted in bytes, so that texts which are not ASCII may not \
             fit their columns. {way_out}"
        )),
        other => Some(format!(
            "the database has the encoding {other}: a call or an import with a character that it lacks fails with a database \
             error. {way_out}"
        )),
    })
}

fn collations(conn: &mut AnyConnection) -> Result<Option<String>, StoreError> {
    let (head, table, column, way_out) = match conn.backend() {
        Backend::Mysql => (
            "/* text::collations */ SELECT CAST(CONCAT(table_name, '.', column_name, ' is ', collation_name) AS CHAR) AS \
             value FROM information_schema.columns WHERE table_schema = DATABASE() \
             AND collation_name NOT IN ('utf8mb4_nopad_bin', 'utf8mb4_0900_bin') AND table_name IN (",
            "table_name",
            "column_name",
            "Run: ALTER TABLE … CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin (MySQL: utf8mb4_0900_bin)",
        ),
        _ => (
            "/* text::collations */ SELECT t.relname || '.' || a.attname || ' is ' || c.collname AS value \
             FROM pg_attribute a JOIN pg_collation c ON c.oid = a.attcollation JOIN pg_class t ON t.oid = a.attrelid \
             WHERE NOT c.collisdeterministic AND NOT a.attisdropped AND pg_table_is_visible(t.oid) AND t.relname IN (",
            "t.relname",
            "a.attname",
            "Run: ALTER TABLE … ALTER COLUMN … TYPE … COLLATE \"C\"",
        ),
    };
    let tables = Statement::new(head).list(&storage::TABLES, |list, table| list.text(table)).sql(") AND (").sql(table);
    let own = tables.sql(" NOT IN ('call_data', 'call_data_history') OR ").sql(column).sql(" IN (");
    let found: Vec<Value> = own.list(&OWN, |list, column| list.text(column)).sql(")) ORDER BY 1").load(conn)?;
    let more = found.len().saturating_sub(NAMED);
    let named: Vec<String> = found.into_iter().take(NAMED).map(|column| column.value).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Ok((!named.is_empty()).then(|| format!("{}{more}: {CONSEQUENCE}. {way_out}", named.join(", "))))
}
