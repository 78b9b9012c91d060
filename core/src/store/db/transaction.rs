//! Write transactions, and COMMITs whose outcome is unknown.

use diesel::connection::{AnsiTransactionManager, TransactionManager};

use super::any_connection::AnyConnection;
use super::error::StoreError;
use crate::failpoint::fail_point;

/// Runs `work` in a transaction: all of it is committed, or nothing.
///
/// On SQLite it takes the write lock at the beginning (`BEGIN IMMEDIATE`). A transaction that reads first and writes later
/// fails, without waiting, if another connection has written in between.
pub(crate) fn write_transaction<T>(
    conn: &mut AnyConnection,
    work: impl FnOnce(&mut AnyConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    begin(conn)?;
    let backend = conn.backend();
    match work(conn) {
        Ok(done) => {
            fail_point!("committing");
            Manager::commit_transaction(conn).map_err(|error| StoreError::commit(error, backend))?;
            fail_point!("committed");
            Ok(done)
        }
        Err(error) => {
            roll_back(conn);
            Err(error)
        }
    }
}

/// Runs `work` in a transaction that is never committed.
pub(crate) fn rolled_back<T>(
    conn: &mut AnyConnection,
    work: impl FnOnce(&mut AnyConnection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    begin(conn)?;
    let done = work(conn);
    roll_back(conn);
    done
}

type Manager = <AnyConnection as diesel::Connection>::TransactionManager;

fn begin(conn: &mut AnyConnection) -> Result<(), StoreError> {
    match conn {
        AnyConnection::Sqlite(sqlite) => AnsiTransactionManager::begin_transaction_sql(sqlite, "BEGIN IMMEDIATE")?,
        #[cfg(any(feature = "postgres", feature = "mysql"))]
        _ => Manager::begin_transaction(conn)?,
    }
    Ok(())
}

fn roll_back(conn: &mut AnyConnection) {
    // The first error is the one to report: it is the cause. The pool discards a connection that cannot roll back
    // (has_broken).
    if let Err(rollback) = Manager::rollback_transaction(conn) {
        tracing::debug!(%rollback, "rollback failed");
    }
}

/// Runs `attempt`, which commits, unless an earlier attempt turns out to be committed.
///
/// A COMMIT whose answer was lost may have succeeded ([`StoreError::CommitUnknown`]). `attempt` puts what it is about to
/// commit into its second argument. Where the answer is lost this is kept `in_doubt`, and `is_committed` asks the database
/// for it before the next attempt. It asks again when that attempt fails or commits nothing: the server may still have
/// been committing the first time, and have left nothing to do. `found` makes the result of what was committed.
pub(crate) fn commit_once<T: Clone, R>(
    conn: &mut AnyConnection,
    in_doubt: &mut Vec<T>,
    is_committed: impl Fn(&mut AnyConnection, &T) -> Result<bool, StoreError>,
    found: impl Fn(T) -> R,
    attempt: impl FnOnce(&mut AnyConnection, &mut Option<T>) -> Result<R, StoreError>,
) -> Result<R, StoreError> {
    let find = |conn: &mut AnyConnection, in_doubt: &[T]| -> Result<Option<R>, StoreError> {
        for committing in in_doubt {
            if is_committed(conn, committing)? {
                return Ok(Some(found(committing.clone())));
            }
        }
        Ok(None)
    };
    if let Some(found) = find(conn, in_doubt)? {
        return Ok(found);
    }
    let mut committing = None;
    match attempt(conn, &mut committing) {
        Ok(done) if committing.is_some() => Ok(done),
        Ok(nothing) => Ok(find(conn, in_doubt)?.unwrap_or(nothing)),
        Err(StoreError::CommitUnknown(error)) => {
            in_doubt.extend(committing);
            Err(StoreError::CommitUnknown(error))
        }
        Err(error) => find(conn, in_doubt)?.ok_or(error),
    }
}

/// [`commit_once`] for a write transaction without a result.
pub(crate) fn write_once(
    conn: &mut AnyConnection,
    in_doubt: &mut Vec<()>,
    is_committed: impl Fn(&mut AnyConnection) -> Result<bool, StoreError>,
    work: impl FnOnce(&mut AnyConnection) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let attempt = |conn: &mut AnyConnection, committing: &mut Option<()>| {
        *committing = Some(());
        write_transaction(conn, work)
    };
    commit_once(conn, in_doubt, |conn, ()| is_committed(conn), |()| (), attempt)
}
