//! Whether `call_data_history` can take what `call_data` holds.

use diesel::prelude::*;
use diesel::sql_types::{Nullable, Text};

use crate::store::db::{AnyConnection, Backend, StoreError};

/// A column as the catalogue describes it.
#[derive(Debug, Clone, PartialEq, Eq, QueryableByName)]
struct Column {
    #[diesel(sql_type = Text)]
    name: String,
    /// Type, length and nullability.
    #[diesel(sql_type = Nullable<Text>)]
    definition: Option<String>,
}

/// The first column of `call_data` that the history table lacks or defines otherwise, in words. `None`: they agree.
///
/// # Errors
/// The database's.
pub fn find(conn: &mut AnyConnection) -> Result<Option<String>, StoreError> {
    let history = columns(conn, "call_data_history")?;
    for column in columns(conn, "call_data")? {
        let Some(kept) = history.iter().find(|kept| kept.name == column.name) else {
            return Ok(Some(format!("column {} is missing there", column.name)));
        };
        if kept != &column {
            let (here, there) = (column.definition.unwrap_or_default(), kept.definition.clone().unwrap_or_default());
            return Ok(Some(format!("column {} is {here} in call_data and {there} in call_data_history", column.name)));
        }
    }
    Ok(None)
}

fn columns(conn: &mut AnyConnection, table: &'static str) -> Result<Vec<Column>, StoreError> {
    let query = match conn.backend() {
        Backend::Sqlite => {
            "/* drift::columns */ SELECT name, type || CASE \"notnull\" WHEN 1 THEN ' NOT NULL' ELSE '' END AS definition \
             FROM pragma_table_info("
        }
        Backend::Postgres => {
            "/* drift::columns */ SELECT CAST(attname AS TEXT) AS name, \
             format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END AS definition \
             FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped AND attrelid = to_regclass("
        }
        Backend::Mysql => {
            "/* drift::columns */ SELECT CAST(column_name AS CHAR) AS name, \
             CAST(CONCAT(column_type, CASE is_nullable WHEN 'NO' THEN ' NOT NULL' ELSE '' END) AS CHAR) AS definition \
             FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = ("
        }
    };
    Ok(crate::store::db::statement::Statement::new(query).text(table).sql(")").load(conn)?)
}
