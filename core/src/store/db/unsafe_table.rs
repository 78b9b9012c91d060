//! A table in which numbers could be lost.

/// A table in which numbers could be lost. Each text contains the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsafeTable {
    /// MariaDB and MySQL: a rollback does not restore rows that were deleted from the table.
    #[error(
        "table {table} has the engine {engine}, which has no transactions: numbers could be lost, so nothing is removed. \
        Run: ALTER TABLE {table} ENGINE=InnoDB"
    )]
    NoTransactions {
        /// The table.
        table: String,
        /// Its engine.
        engine: String,
    },
    /// MariaDB and MySQL: the engine's row counts or row locks are not reliable.
    #[error(
        "table {table} has the engine {engine}, whose counts of affected rows and row locks cannot be trusted: numbers \
        could be lost, so nothing is removed. Point database.url at the server that stores the rows, or keep them in a \
        table with ENGINE=InnoDB"
    )]
    Untrusted {
        /// The table.
        table: String,
        /// Its engine.
        engine: String,
    },
    /// PostgreSQL: the table is emptied when the server crashes.
    #[error(
        "table {table} is UNLOGGED: its rows are lost when the server crashes, so nothing is removed. \
        Run: ALTER TABLE {table} SET LOGGED"
    )]
    Unlogged {
        /// The table.
        table: String,
    },
    /// PostgreSQL: the table is on another server, which commits independently.
    #[error(
        "table {table} is a foreign table, which is not committed together with the others: numbers could be lost, so \
        nothing is removed. Point database.url at the server that stores the rows"
    )]
    Foreign {
        /// The table.
        table: String,
    },
}
