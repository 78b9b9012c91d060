//! Statements as text, to show them to a person.

use diesel::QueryResult;
use diesel::backend::Backend as DieselBackend;
use diesel::query_builder::{QueryBuilder as _, QueryFragment};
use serde::Serialize;

use super::backend::Backend;
use super::error::StoreError;
use super::statement::Statement;

/// A statement as a database receives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatementText {
    /// The SQL, with a placeholder for each value in the style of the backend.
    pub sql: String,
    /// The values in the order of their placeholders. Texts of filters have all but their last two characters masked.
    pub values: Vec<String>,
}

impl StatementText {
    /// The text of a statement on this backend.
    ///
    /// # Errors
    /// [`StoreError::NotBuilt`].
    pub(crate) fn new(statement: &Statement, backend: Backend) -> Result<Self, StoreError> {
        let sql = match backend {
            Backend::Sqlite => render::<diesel::sqlite::Sqlite>(statement)?,
            #[cfg(feature = "postgres")]
            Backend::Postgres => render::<diesel::pg::Pg>(statement)?,
            #[cfg(feature = "mysql")]
            Backend::Mysql => render::<diesel::mysql::Mysql>(statement)?,
            #[allow(unreachable_patterns, reason = "reached only by builds that leave a backend out")]
            left_out => return Err(StoreError::NotBuilt { backend: left_out, feature: "postgres or mysql" }),
        };
        Ok(Self { sql, values: statement.values() })
    }
}

fn render<DB>(statement: &Statement) -> QueryResult<String>
where
    DB: DieselBackend + Default,
    DB::QueryBuilder: Default,
    Statement: QueryFragment<DB>,
{
    let mut text = DB::QueryBuilder::default();
    statement.to_sql(&mut text, &DB::default())?;
    Ok(text.finish())
}
