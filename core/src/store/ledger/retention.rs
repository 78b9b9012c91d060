//! Deletes ledger rows whose retention has ended: rows of old, ended runs without remaining history.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::model::run::RunState;
use crate::store::db::schema::{purge_run, purge_run_campaign, purge_run_control};
use crate::store::db::statement::rows;
use crate::store::db::{AnyConnection, StoreError, write_transaction};

/// A range of ledger rows: ids above `after`, up to and including `upto`.
pub(crate) struct LedgerRange {
    after: i64,
    pub(crate) upto: i64,
}

/// The most ledger rows that one statement reads.
const WINDOW: i64 = 1_000;

/// The next range of ledger rows. `None`: there are no more.
pub(crate) fn next_range(conn: &mut AnyConnection, after: Option<i64>) -> Result<Option<LedgerRange>, StoreError> {
    // The id generator returns positive ids only.
    let after = after.unwrap_or(0);
    let ids: Vec<i64> = purge_run::table
        .filter(purge_run::id.gt(after))
        .order(purge_run::id)
        .limit(WINDOW)
        .select(purge_run::id)
        .load(conn)?;
    Ok(ids.last().map(|upto| LedgerRange { after, upto: *upto }))
}

/// Counts the rows of a range whose runs ended before a time. It is an upper bound for a preview: `end` keeps the rows of
/// runs that still have history.
pub(crate) fn count(conn: &mut AnyConnection, range: &LedgerRange, before: NaiveDateTime) -> Result<i64, StoreError> {
    let old = purge_run::id
        .gt(range.after)
        .and(purge_run::id.le(range.upto))
        .and(purge_run::heartbeat_at.lt(before))
        .and(purge_run::state.ne_all(RunState::ACTIVE));
    Ok(purge_run::table.filter(old).count().get_result(conn)?)
}

/// Deletes the rows of a range whose runs ended before a time and have no history left, and their rows in related tables,
/// in one transaction.
pub(crate) fn end(conn: &mut AnyConnection, range: &LedgerRange, before: NaiveDateTime) -> Result<i64, StoreError> {
    write_transaction(conn, |conn| {
        let old = purge_run::id
            .gt(range.after)
            .and(purge_run::id.le(range.upto))
            .and(purge_run::heartbeat_at.lt(before))
            .and(purge_run::state.ne_all(RunState::ACTIVE))
            .and(purge_run::archived.eq(purge_run::restored + purge_run::pruned));
        let found: Vec<i64> = purge_run::table.filter(old).select(purge_run::id).load(conn)?;
        let mut ended = Vec::new();
        for id in found {
            // The conditions are checked again by the DELETE: the run may have been resumed since the SELECT.
            let still = purge_run::id
                .eq(id)
                .and(purge_run::heartbeat_at.lt(before))
                .and(purge_run::archived.eq(purge_run::restored + purge_run::pruned));
            if diesel::delete(purge_run::table.filter(still)).execute(conn)? == 1 {
                ended.push(id);
            }
        }
        diesel::delete(purge_run_campaign::table.filter(purge_run_campaign::run_id.eq_any(&ended))).execute(conn)?;
        diesel::delete(purge_run_control::table.filter(purge_run_control::run_id.eq_any(&ended))).execute(conn)?;
        Ok(rows(ended.len()))
    })
}
