//! One chunk: the transaction that removes numbers and accounts for them.

use chrono::NaiveDateTime;
use diesel::prelude::*;
use diesel::sql_types::BigInt;

use super::connection::{Backend, write_transaction};
use super::ledger::{self, Books};
use super::statement::Statement;
use super::window::{Scope, Window};
use super::{AnyConnection, StoreError, campaigns};
use crate::rules::{OngoingTask, REMOVABLE};
use crate::run::Counts;

/// What a chunk's transaction found.
#[derive(Debug, Clone)]
pub(crate) enum Chunk {
    /// Done and accounted for; the books are now these.
    Done(Counts, Box<Books>),
    /// There was no window left to remove.
    WalkEnded,
    /// There is more to remove, and no more may go.
    BoundReached,
    /// The campaign is executing by now and the rules bar all of it. Nothing was removed.
    CampaignExecuting,
    /// The campaign is gone. Nothing was removed.
    CampaignGone,
}

/// A chunk whose COMMIT got no answer: what it would have done.
pub(crate) type InDoubt = (Counts, Books, Window);

/// Removes the numbers of a window and adds the counts to the ledger, in one transaction.
///
/// `account` makes the next books from the chunk's counts. Books whose COMMIT got no answer are kept `in_doubt`; before
/// anything is done again, [`find_saved`] finds out from the ledger whether they are in.
#[allow(clippy::too_many_arguments, reason = "one transaction needs them all")]
pub(crate) fn remove(
    conn: &mut AnyConnection,
    scope: &Scope<'_>,
    window: &Window,
    rules: OngoingTask,
    books: &Books,
    account: impl Fn(&Counts) -> Books,
    now: NaiveDateTime,
    in_doubt: &mut Vec<InDoubt>,
) -> Result<Chunk, StoreError> {
    let mut accounted = None;
    let outcome = write_transaction(conn, |conn| {
        let Some(status) = campaigns::lock_status(conn, scope.campaign)? else { return Ok(Chunk::CampaignGone) };
        if rules.bars_campaign(status) {
            return Ok(Chunk::CampaignExecuting);
        }
        let (deleted, archived) = take(conn, scope, window, books.run.archive_into(), now)?;
        if deleted > window.most {
            return Err(StoreError::Changed { copied: window.most, deleted });
        }
        // What was counted when the window was found stands, unless the numbers have changed since.
        let barred = if deleted == window.removable { window.barred } else { scope.count_barred(conn, window)? };
        let counts = Counts { matched: deleted + barred.total(), deleted, archived, barred };
        let next = account(&counts);
        ledger::save(conn, books, &next)?;
        accounted = Some((counts, next.clone(), window.clone()));
        Ok(Chunk::Done(counts, Box::new(next)))
    });
    match outcome {
        Err(StoreError::CommitUnknown(error)) => {
            in_doubt.extend(accounted);
            Err(StoreError::CommitUnknown(error))
        }
        // The server was still at the commit in doubt when it was looked for; by now it has let go of its locks.
        Err(error) => find_saved(conn, in_doubt)?.map(|(chunk, _)| chunk).ok_or(error),
        done => done,
    }
}

/// Whether a chunk in doubt is in the ledger after all.
pub(crate) fn find_saved(
    conn: &mut AnyConnection,
    in_doubt: &[InDoubt],
) -> Result<Option<(Chunk, Window)>, StoreError> {
    for (counts, books, window) in in_doubt {
        if ledger::is_saved(conn, books)? {
            return Ok(Some((Chunk::Done(*counts, Box::new(books.clone())), window.clone())));
        }
    }
    Ok(None)
}

const COLUMNS: &str = "campaign_id, id, session_id, called, caller, custom_field, call_data, priority, recycle_time, \
                       status, created_at, updated_at";

/// Takes the removable numbers of a window out of `call_data`, into history under the run `archive_into` if given.
/// Returns how many were deleted and archived.
///
/// Removable is decided by the statement that locks the row, on the row's newest version: what the dialler took a
/// microsecond earlier stays.
fn take(
    conn: &mut AnyConnection,
    scope: &Scope<'_>,
    window: &Window,
    archive_into: Option<i64>,
    now: NaiveDateTime,
) -> Result<(i64, i64), StoreError> {
    let restrict = |head: Statement| scope.restrict(head, window).sql(" AND status = ").small_int(REMOVABLE as i16);
    let delete = |conn: &mut AnyConnection| -> Result<i64, StoreError> {
        let deleted = restrict(Statement::new("/* chunk::delete */ DELETE FROM call_data WHERE ")).execute(conn)?;
        Ok(i64::try_from(deleted).unwrap_or(i64::MAX))
    };
    let Some(run_id) = archive_into else { return Ok((delete(conn)?, 0)) };
    let stamp = |head: Statement| head.sql(", ").timestamp(now).sql(", ").big_int(run_id);
    let copy_into =
        |head: &'static str| Statement::new(head).sql(COLUMNS).sql(", archived_at, run_id) SELECT ").sql(COLUMNS);
    let (copied, deleted) = match conn.backend() {
        // One statement: what is copied is what the DELETE returns.
        Backend::Postgres => {
            let gone = restrict(Statement::new("/* chunk::move */ WITH gone AS (DELETE FROM call_data WHERE "))
                .sql(" RETURNING ")
                .sql(COLUMNS)
                .sql("), kept AS (");
            let statement = stamp(gone.append(copy_into("INSERT INTO call_data_history (")))
                .sql(" FROM gone RETURNING 1) SELECT (SELECT count(*) FROM kept) AS copied, (SELECT count(*) FROM gone) AS deleted");
            let moved: Moved = statement.get_result(conn)?;
            (moved.copied, moved.deleted)
        }
        // Two statements that see the same rows. SQLite has one writer. On MariaDB the copy locks each row that it
        // reads, so none of them can leave before the delete; one that enters makes the counts differ.
        Backend::Sqlite | Backend::Mysql => {
            let lock = if conn.backend() == Backend::Mysql { " FOR UPDATE" } else { "" };
            let select = stamp(copy_into("/* chunk::copy */ INSERT INTO call_data_history ("));
            let copied = restrict(select.sql(" FROM call_data WHERE ")).sql(lock).execute(conn)?;
            (i64::try_from(copied).unwrap_or(i64::MAX), delete(conn)?)
        }
    };
    if copied == deleted { Ok((deleted, copied)) } else { Err(StoreError::Changed { copied, deleted }) }
}

#[derive(QueryableByName)]
struct Moved {
    #[diesel(sql_type = BigInt)]
    copied: i64,
    #[diesel(sql_type = BigInt)]
    deleted: i64,
}
