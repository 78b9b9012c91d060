//! A transaction that does something and accounts for it in the ledger, and what to do when its COMMIT gets no answer.

use std::ops::ControlFlow;

use crate::failpoint::fail_point;
use crate::store::db::{AnyConnection, StoreError, write_transaction};
use crate::store::ledger;
use crate::store::ledger::Books;

/// Transactions whose COMMIT got no answer: the books that each would have left, and what it did.
pub(crate) type InDoubt<T> = Vec<(Books, T)>;

/// What a transaction writes into the ledger.
pub(crate) struct Entry {
    /// The books as this process last left them.
    pub(crate) before: Books,
    /// The books that follow.
    pub(crate) next: Books,
}

/// Runs `work` in a transaction that also writes the entry it returns. `work` may break off instead, having changed
/// nothing.
///
/// Books whose COMMIT got no answer are kept `in_doubt`; before anything is done again, [`find_saved`] finds out from the
/// ledger whether they are in.
pub(crate) fn accounted<T: Clone, B>(
    conn: &mut AnyConnection,
    in_doubt: &mut InDoubt<T>,
    work: impl FnOnce(&mut AnyConnection) -> Result<ControlFlow<B, (Entry, T)>, StoreError>,
) -> Result<ControlFlow<B, (Books, T)>, StoreError> {
    let mut done = None;
    let outcome = write_transaction(conn, |conn| match work(conn)? {
        ControlFlow::Continue((Entry { before, next }, what)) => {
            ledger::save(conn, &before, &next)?;
            fail_point!("accounted");
            done = Some((next.clone(), what.clone()));
            Ok(ControlFlow::Continue((next, what)))
        }
        ControlFlow::Break(why) => Ok(ControlFlow::Break(why)),
    });
    match outcome {
        Err(StoreError::CommitUnknown(error)) => {
            in_doubt.extend(done);
            Err(StoreError::CommitUnknown(error))
        }
        // The server was still at the commit in doubt when it was looked for; by now it has let go of its locks.
        Err(error) => find_saved(conn, in_doubt)?.map(ControlFlow::Continue).ok_or(error),
        done => done,
    }
}

/// Whether a transaction in doubt is in the ledger after all.
pub(crate) fn find_saved<T: Clone>(
    conn: &mut AnyConnection,
    in_doubt: &InDoubt<T>,
) -> Result<Option<(Books, T)>, StoreError> {
    for (books, what) in in_doubt {
        if ledger::is_saved(conn, books)? {
            return Ok(Some((books.clone(), what.clone())));
        }
    }
    Ok(None)
}
