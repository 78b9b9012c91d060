//! One chunk: the transaction that removes numbers and accounts for them.

use std::ops::ControlFlow;

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::failpoint::fail_point;
use crate::model::rules::{OngoingTask, REMOVABLE};
use crate::model::run::Counts;
use crate::store::db::catalogue::Catalogue;
use crate::store::db::statement::{Statement, rows};
use crate::store::db::{AnyConnection, StoreError};
use crate::store::ledger::commit::{Entry, InDoubt, accounted};
use crate::store::ledger::{Books, commit};
use crate::store::scan::window::{Scope, Stretch, Window};
use crate::store::tables::campaigns;
use crate::store::tables::moving::{Direction, Move, Under};

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

/// Chunks whose COMMIT got no answer: what they would have done.
pub(crate) type ChunksInDoubt = InDoubt<(Counts, Window)>;

/// What a chunk is to remove.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Removal<'a> {
    pub(crate) scope: Scope<'a>,
    pub(crate) window: &'a Window,
    pub(crate) rules: OngoingTask,
    /// The run under which the numbers go into history, if they do.
    pub(crate) archive_into: Option<i64>,
    pub(crate) now: NaiveDateTime,
    pub(crate) catalogue: &'a Catalogue,
}

/// Removes the numbers of a window and adds the counts to the ledger, in one transaction.
///
/// `account` makes the entry from the chunk's counts; what it refuses is rolled back. Says which window was removed: where a
/// chunk in doubt turns out to be saved it is the one of that chunk.
pub(crate) fn remove(
    conn: &mut AnyConnection,
    removal: &Removal<'_>,
    in_doubt: &mut ChunksInDoubt,
    account: impl FnOnce(&Counts) -> Result<Entry, StoreError>,
) -> Result<(Chunk, Window), StoreError> {
    let Removal { scope, window, rules, archive_into, now, catalogue } = *removal;
    let outcome = accounted(conn, in_doubt, |conn| {
        let Some(campaign) = campaigns::lock(conn, catalogue, scope.campaign)? else {
            return Ok(ControlFlow::Break(Chunk::CampaignGone));
        };
        if rules.bars_campaign(campaign.status) {
            return Ok(ControlFlow::Break(Chunk::CampaignExecuting));
        }
        fail_point!("locked");
        let archive_into = match archive_into {
            Some(run_id) => Some((run_id, campaign.columns.archived()?)),
            None => None,
        };
        let (deleted, archived) = take(conn, &scope, window, archive_into, now)?;
        if deleted > window.most {
            return Err(StoreError::Changed { copied: window.most, deleted });
        }
        // What was counted when the window was found stands, unless the numbers have changed since.
        let barred = if deleted == window.removable { window.barred } else { scope.count_barred(conn, window)? };
        let counts = Counts { matched: deleted + barred.total(), deleted, archived, barred };
        Ok(ControlFlow::Continue((account(&counts)?, (counts, window.clone()))))
    })?;
    Ok(match outcome {
        ControlFlow::Continue((books, (counts, window))) => (Chunk::Done(counts, Box::new(books)), window),
        ControlFlow::Break(chunk) => (chunk, window.clone()),
    })
}

/// Whether a chunk in doubt is in the ledger after all.
pub(crate) fn find_saved(
    conn: &mut AnyConnection,
    in_doubt: &ChunksInDoubt,
) -> Result<Option<(Chunk, Window)>, StoreError> {
    let saved = commit::find_saved(conn, in_doubt)?;
    Ok(saved.map(|(books, (counts, window))| (Chunk::Done(counts, Box::new(books)), window)))
}

/// Takes the removable numbers of a window out of `call_data`; into history, under the run and with the columns of
/// `archive_into`, if given. Returns how many were deleted and archived.
///
/// Removable is decided by the statement that locks the row, on the row's newest version: what the dialler took a
/// microsecond earlier stays.
fn take(
    conn: &mut AnyConnection,
    scope: &Scope<'_>,
    window: &Window,
    archive_into: Option<(i64, &[String])>,
    now: NaiveDateTime,
) -> Result<(i64, i64), StoreError> {
    let mut taken = (0, 0);
    for stretch in scope.stretches(window) {
        let restrict = |head: Statement| {
            scope.restrict_to(head, window, *stretch).sql(" AND status = ").small_int(REMOVABLE as i16)
        };
        if let Some((run_id, columns)) = archive_into {
            let (run, which) = (Under::Run(run_id), restrict(Statement::default()));
            let moved = Move { direction: Direction::Archive { run, now }, columns, which }.run(conn)?;
            taken = (taken.0 + moved, taken.1 + moved);
        } else {
            let deleted = restrict(Statement::new("/* chunk::delete */ DELETE FROM call_data WHERE ")).execute(conn)?;
            fail_point!("deleted");
            taken.0 += rows(deleted);
        }
        if matches!(stretch, Stretch::Pages) && taken.0 == window.removable {
            break;
        }
    }
    Ok(taken)
}
