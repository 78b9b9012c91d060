//! Write transactions: all of the work is committed, or none of it.

use diesel::connection::{AnsiTransactionManager, TransactionManager};

use super::any_connection::AnyConnection;
use super::error::StoreError;
use crate::failpoint::fail_point;

/// Runs `work` in a transaction: all of it is committed, or nothing.
///
/// A transaction that writes takes its locks as it begins on SQLite (`BEGIN IMMEDIATE`): a transaction that read
/// first could not be promoted later without failing.
pub(crate) fn write_transaction<T>(
    conn: &mut AnyConnection,
    work: impl FnOnce(&mut AnyConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    type Manager = <AnyConnection as diesel::Connection>::TransactionManager;
    match conn {
        AnyConnection::Sqlite(sqlite) => AnsiTransactionManager::begin_transaction_sql(sqlite, "BEGIN IMMEDIATE")?,
        #[cfg(any(feature = "postgres", feature = "mysql"))]
        _ => Manager::begin_transaction(conn)?,
    }
    match work(conn) {
        Ok(done) => {
            fail_point!("committing");
            Manager::commit_transaction(conn).map_err(StoreError::commit)?;
            fail_point!("committed");
            Ok(done)
        }
        Err(error) => {
            // The first error is the one to tell; a connection that cannot roll back is not used again (has_broken).
            if let Err(rollback) = Manager::rollback_transaction(conn) {
                tracing::debug!(%rollback, "rollback failed");
            }
            Err(error)
        }
    }
}
