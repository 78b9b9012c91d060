//! A chunk: the transaction that removes the numbers of a window and records them in the ledger.

use std::ops::ControlFlow;

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::failpoint::fail_point;
use crate::model::rules::{OngoingTask, REMOVABLE};
use crate::model::run::Counts;
use crate::store::db::catalogue::Catalogue;
use crate::store::db::statement::{Statement, rows};
use crate::store::db::{AnyConnection, StoreError, write_transaction};
use crate::store::ledger::{self, LedgerState, LedgerUpdate};
use crate::store::scan::window::{ScanScope, Window, WindowPart};
use crate::store::tables::campaigns;
use crate::store::tables::moving::{Direction, Move, Under};

/// A chunk that is committed, or whose COMMIT is in progress.
#[derive(Debug, Clone)]
pub(crate) struct Removed {
    pub(crate) counts: Counts,
    pub(crate) window: Window,
    /// The ledger's rows after the chunk.
    pub(crate) ledger: Box<LedgerState>,
}

/// Why a chunk removed nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum NotRemoved {
    /// The campaign has started to execute, and the rules bar all its numbers.
    CampaignExecuting,
    /// The campaign no longer exists.
    CampaignGone,
}

/// What a chunk is to remove.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Removal<'a> {
    pub(crate) scope: ScanScope<'a>,
    pub(crate) window: &'a Window,
    pub(crate) rules: OngoingTask,
    /// The run id for archived numbers. `None`: numbers are deleted without archiving.
    pub(crate) archive_into: Option<i64>,
    pub(crate) now: NaiveDateTime,
    pub(crate) catalogue: &'a Catalogue,
}

/// Removes the numbers of a window and adds the counts to the ledger, in one transaction.
///
/// `account` makes the ledger's update from the chunk's counts; what it refuses is rolled back. `committing` is set just
/// before COMMIT, for [`commit_once`](crate::store::db::commit_once).
pub(crate) fn remove(
    conn: &mut AnyConnection,
    removal: &Removal<'_>,
    committing: &mut Option<Removed>,
    account: impl FnOnce(&Counts) -> Result<LedgerUpdate, StoreError>,
) -> Result<ControlFlow<NotRemoved, Removed>, StoreError> {
    let Removal { scope, window, rules, archive_into, now, catalogue } = *removal;
    write_transaction(conn, |conn| {
        let Some(campaign) = campaigns::lock(conn, catalogue, scope.campaign)? else {
            return Ok(ControlFlow::Break(NotRemoved::CampaignGone));
        };
        if rules.bars_campaign(campaign.status) {
            return Ok(ControlFlow::Break(NotRemoved::CampaignExecuting));
        }
        fail_point!("locked");
        let archive_into = match archive_into {
            Some(run_id) => Some((run_id, campaign.columns.archived()?)),
            None => None,
        };
        let (deleted, archived) = take(conn, &scope, window, archive_into, now)?;
        if deleted > window.most {
            return Err(StoreError::TooMany { most: window.most, deleted });
        }
        // The barred numbers were counted when the window was found. They are counted again only if the number of deleted rows
        // shows that the window has changed since.
        let barred = if deleted == window.removable { window.barred } else { scope.count_barred(conn, window)? };
        let counts = Counts { matched: deleted + barred.total(), deleted, archived, barred };
        let update = account(&counts)?;
        ledger::save(conn, &update)?;
        fail_point!("accounted");
        let removed = Removed { counts, window: window.clone(), ledger: Box::new(update.next) };
        *committing = Some(removed.clone());
        Ok(ControlFlow::Continue(removed))
    })
}

/// Removes the removable numbers of a window from `call_data`. With `archive_into` (run id, columns) they are moved to
/// history. Returns how many were deleted and archived.
///
/// The status is checked by the same statement that locks the row, on the newest version of the row. So a number that the
/// dialler has loaded a moment before is not removed.
fn take(
    conn: &mut AnyConnection,
    scope: &ScanScope<'_>,
    window: &Window,
    archive_into: Option<(i64, &[String])>,
    now: NaiveDateTime,
) -> Result<(i64, i64), StoreError> {
    let mut taken = (0, 0);
    for part in scope.parts(window) {
        match taking(scope, window, *part, archive_into, now) {
            Taking::Move(to_history) => {
                let moved = to_history.run(conn)?;
                taken = (taken.0 + moved, taken.1 + moved);
            }
            Taking::Delete(delete) => {
                let deleted = delete.execute(conn)?;
                fail_point!("deleted");
                taken.0 += rows(deleted);
            }
        }
        if matches!(part, WindowPart::Pages) && taken.0 == window.removable {
            break;
        }
    }
    Ok(taken)
}

/// How numbers leave `call_data`.
enum Taking<'a> {
    Move(Move<'a>),
    Delete(Statement),
}

fn taking<'a>(
    scope: &ScanScope<'_>,
    window: &Window,
    part: WindowPart,
    archive_into: Option<(i64, &'a [String])>,
    now: NaiveDateTime,
) -> Taking<'a> {
    let restrict =
        |head: Statement| scope.restrict_to(head, window, part).sql(" AND status = ").small_int(REMOVABLE as i16);
    match archive_into {
        Some((run_id, columns)) => {
            let (run, which) = (Under::Run(run_id), restrict(Statement::default()));
            Taking::Move(Move { direction: Direction::Archive { run, now }, columns, which })
        }
        None => Taking::Delete(restrict(Statement::new("/* chunk::delete */ DELETE FROM call_data WHERE "))),
    }
}

/// The statements by which a chunk takes the removable numbers of a window, in their order.
pub(crate) fn statements(
    scope: &ScanScope<'_>,
    window: &Window,
    archive_into: Option<(i64, &[String])>,
    now: NaiveDateTime,
) -> Vec<Statement> {
    let statements = |part: &WindowPart| match taking(scope, window, *part, archive_into, now) {
        Taking::Move(to_history) => to_history.statements(scope.backend),
        Taking::Delete(delete) => vec![delete],
    };
    scope.parts(window).iter().flat_map(statements).collect()
}
