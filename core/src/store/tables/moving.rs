//! Moves rows between `call_data` and `call_data_history`: all of them or none, and never leaves a row in both tables.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use crate::failpoint::fail_point;
use crate::store::db::statement::{Statement, rows};
use crate::store::db::{AnyConnection, Backend, StoreError};

/// A move of rows from one table to the other.
pub(crate) struct Move<'a> {
    pub(crate) direction: Direction,
    /// The columns to copy, according to the current catalogue.
    pub(crate) columns: &'a [String],
    /// The rows to move: the condition of a WHERE clause for one campaign.
    pub(crate) which: Statement,
}

pub(crate) enum Direction {
    /// Into history, with a run id.
    Archive { run: Under, now: NaiveDateTime },
    /// Back out of history.
    Restore,
}

/// The run id of archived numbers.
pub(crate) enum Under {
    /// The same run id for all numbers.
    Run(i64),
    /// (id, run id) for each number. Never empty.
    ByNumber(Vec<(i64, i64)>),
}

impl Under {
    fn column(&self, statement: Statement) -> Statement {
        match self {
            Self::Run(run) => statement.big_int(*run),
            Self::ByNumber(numbers) => {
                let cases = crate::store::db::statement::padded(numbers)
                    .fold(statement.sql("CASE id"), |cases, (id, run)| {
                        cases.sql(" WHEN ").big_int(*id).sql(" THEN ").big_int(*run)
                    });
                cases.sql(" END")
            }
        }
    }
}

impl Move<'_> {
    /// Moves the rows inside the caller's transaction. Returns how many were moved.
    pub(crate) fn run(&self, conn: &mut AnyConnection) -> Result<i64, StoreError> {
        let (copied, deleted) = match conn.backend() {
            // One statement: what is copied is what the DELETE returns.
            Backend::Postgres => {
                let moved: Moved = self.copy_and_delete().get_result(conn)?;
                (moved.copied, moved.deleted)
            }
            // Two statements, which must affect the same rows. SQLite has one writer. On MariaDB the copy locks each row that
            // it reads, so none of them can disappear before the delete. If a matching row appears in between, the counts
            // differ and the transaction is rolled back.
            backend @ (Backend::Sqlite | Backend::Mysql) => {
                let copied = self.copy_only(backend).execute(conn)?;
                fail_point!("copied");
                let deleted = self.delete(DELETE).execute(conn)?;
                (rows(copied), rows(deleted))
            }
        };
        fail_point!("deleted");
        if copied == deleted { Ok(deleted) } else { Err(StoreError::Changed { copied, deleted }) }
    }

    /// The statements of [`Move::run`], in their order.
    pub(crate) fn statements(&self, backend: Backend) -> Vec<Statement> {
        match backend {
            Backend::Postgres => vec![self.copy_and_delete()],
            Backend::Sqlite | Backend::Mysql => vec![self.copy_only(backend), self.delete(DELETE)],
        }
    }

    fn copy_and_delete(&self) -> Statement {
        let gone = self.delete("/* chunk::move */ WITH gone AS (").sql(" RETURNING ").identifiers(self.columns);
        let kept = self.copy(gone.sql("), kept AS ("), OVERRIDING).sql("gone RETURNING 1)");
        kept.sql(" SELECT (SELECT count(*) FROM kept) AS copied, (SELECT count(*) FROM gone) AS deleted")
    }

    fn copy_only(&self, backend: Backend) -> Statement {
        let lock = if backend == Backend::Mysql { " FOR UPDATE" } else { "" };
        let copy = self.copy(Statement::new("/* chunk::copy */ "), "").sql(self.from()).sql(" WHERE ");
        copy.append(self.which.clone()).sql(lock)
    }

    fn from(&self) -> &'static str {
        match self.direction {
            Direction::Archive { .. } => "call_data",
            Direction::Restore => "call_data_history",
        }
    }

    fn delete(&self, head: &'static str) -> Statement {
        Statement::new(head).sql("DELETE FROM ").sql(self.from()).sql(" WHERE ").append(self.which.clone())
    }

    /// `INSERT INTO … SELECT … FROM `
    fn copy(&self, head: Statement, overriding: &'static str) -> Statement {
        match &self.direction {
            Direction::Archive { run, now } => {
                let into = head.sql("INSERT INTO call_data_history (").identifiers(self.columns);
                let into = into.sql(", archived_at, run_id)").sql(overriding).sql(" SELECT ").identifiers(self.columns);
                run.column(into.sql(", ").timestamp(*now).sql(", ")).sql(" FROM ")
            }
            Direction::Restore => {
                let into = head.sql("INSERT INTO call_data (").identifiers(self.columns).sql(")").sql(overriding);
                into.sql(" SELECT ").identifiers(self.columns).sql(" FROM ")
            }
        }
    }
}

const DELETE: &str = "/* chunk::delete */ ";

/// Without it PostgreSQL rejects a value for a column that is GENERATED ALWAYS AS IDENTITY.
const OVERRIDING: &str = " OVERRIDING SYSTEM VALUE";

#[derive(QueryableByName)]
struct Moved {
    #[diesel(sql_type = BigInt)]
    copied: i64,
    #[diesel(sql_type = BigInt)]
    deleted: i64,
}
