//! The ledger as the process that works on a run writes it: `purge_run` and `purge_run_campaign`.
//!
//! A row is written only by its owner, and only from the state in which the owner left it. Whoever finds it otherwise has
//! lost the run to somebody else.

use std::sync::LazyLock;

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::model::run::{Counts, RunKind, RunState};
use crate::store::db::schema::{purge_run, purge_run_campaign};
use crate::store::db::{AnyConnection, StoreError};

use super::rows::{CampaignRow, RunRow};

/// Adds the counts of a chunk to a row of either table.
macro_rules! add_counts {
    ($row:expr, $counts:expr) => {
        $row.matched += $counts.matched;
        $row.deleted += $counts.deleted;
        $row.archived += $counts.archived;
        $row.barred_call_ongoing += $counts.barred.call_ongoing;
        $row.barred_call_completed += $counts.barred.call_completed;
        $row.barred_ongoing_task += $counts.barred.ongoing_task;
        $row.barred_unknown_status += $counts.barred.unknown_status;
        $row.chunks += 1;
    };
}

/// The rows of a run in the ledger, as its process last wrote them: the run's, and for a sweep its campaign's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LedgerState {
    pub(crate) run: RunRow,
    pub(crate) campaign: Option<CampaignRow>,
    /// Whether the run is in the ledger by now. A request is written with its first chunk.
    pub(crate) saved: bool,
}

impl LedgerState {
    /// The rows after a chunk.
    pub(crate) fn after(&self, counts: &Counts, cursor: &str, now: NaiveDateTime) -> Self {
        let mut next = self.clone();
        add_counts!(next.run, counts);
        next.run.barred += counts.barred.total();
        next.run.cursor = Some(cursor.to_owned());
        // The other kinds have a heartbeat thread; a chunk that took long would set its time back.
        if next.run.kind == RunKind::Request {
            next.run.heartbeat_at = now;
        }
        if let Some(campaign) = &mut next.campaign {
            add_counts!(campaign, counts);
            campaign.cursor = Some(cursor.to_owned());
        }
        next.saved = true;
        next
    }
}

/// A change of a run's rows. A row is written only from the state in which its process left it.
#[derive(Debug, Clone)]
pub(crate) struct LedgerUpdate {
    pub(crate) before: LedgerState,
    pub(crate) next: LedgerState,
}

/// Writes the rows of an update, inside the caller's transaction.
///
/// # Errors
/// [`StoreError::RunLost`] when the rows are not as this process left them; [`StoreError::KeyTaken`] when another run has
/// one of the keys.
pub(crate) fn save(conn: &mut AnyConnection, update: &LedgerUpdate) -> Result<(), StoreError> {
    let LedgerUpdate { before, next } = update;
    if before.saved {
        update_run(conn, before, &next.run)?;
    } else {
        insert_run(conn, &next.run)?;
    }
    next.campaign.as_ref().map_or(Ok(()), |campaign| update_campaign(conn, campaign))
}

/// Puts a run into the ledger.
pub(crate) fn insert_run(conn: &mut AnyConnection, run: &RunRow) -> Result<(), StoreError> {
    key_taken(diesel::insert_into(purge_run::table).values(run).execute(conn), run.has_key())
}

/// Puts runs into the ledger by one statement.
pub(crate) fn insert_runs(conn: &mut AnyConnection, runs: &[RunRow]) -> Result<(), StoreError> {
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    let have_keys = runs.iter().any(RunRow::has_key);
    match conn {
        // Nothing is between the program and its SQLite that one statement would save.
        AnyConnection::Sqlite(_) => runs.iter().try_for_each(|run| insert_run(conn, run)),
        #[cfg(feature = "postgres")]
        AnyConnection::Postgres(postgres) => {
            key_taken(diesel::insert_into(purge_run::table).values(runs).execute(postgres), have_keys)
        }
        #[cfg(feature = "mysql")]
        AnyConnection::Mysql(mysql) => {
            key_taken(diesel::insert_into(purge_run::table).values(runs).execute(mysql), have_keys)
        }
    }
}

fn key_taken(inserted: QueryResult<usize>, has_key: bool) -> Result<(), StoreError> {
    use diesel::result::{DatabaseErrorKind, Error};
    match inserted {
        // The id is this process's own: only one of the keys can be another run's.
        Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _)) if has_key => Err(StoreError::KeyTaken),
        done => Ok(done.map(|_| ())?),
    }
}

/// Puts a sweep's campaigns into the ledger.
pub(crate) fn insert_campaigns(conn: &mut AnyConnection, rows: &[CampaignRow]) -> Result<(), StoreError> {
    for row in rows {
        diesel::insert_into(purge_run_campaign::table).values(row).execute(conn)?;
    }
    Ok(())
}

fn update_run(conn: &mut AnyConnection, before: &LedgerState, next: &RunRow) -> Result<(), StoreError> {
    let as_left = purge_run::id
        .eq(next.id)
        .and(purge_run::chunks.eq(before.run.chunks))
        .and(purge_run::owner.eq(&next.owner))
        .and(purge_run::state.eq_any(RunState::ACTIVE));
    let updated = diesel::update(purge_run::table.filter(as_left))
        .set((
            // Only what this process changed: a person may have put the run into `stopping` meanwhile.
            (next.state != before.run.state).then(|| purge_run::state.eq(next.state)),
            purge_run::matched.eq(next.matched),
            purge_run::deleted.eq(next.deleted),
            purge_run::archived.eq(next.archived),
            purge_run::barred.eq(next.barred),
            purge_run::barred_call_ongoing.eq(next.barred_call_ongoing),
            purge_run::barred_call_completed.eq(next.barred_call_completed),
            purge_run::barred_ongoing_task.eq(next.barred_ongoing_task),
            purge_run::barred_unknown_status.eq(next.barred_unknown_status),
            purge_run::chunks.eq(next.chunks),
            purge_run::cursor.eq(&next.cursor),
            // A heartbeat beside the chunk may have been later.
            (next.heartbeat_at > before.run.heartbeat_at).then(|| purge_run::heartbeat_at.eq(next.heartbeat_at)),
            purge_run::finished_at.eq(next.finished_at),
            purge_run::stop_reason.eq(&next.stop_reason),
            purge_run::error.eq(&next.error),
            purge_run::outcome_code.eq(next.outcome_code),
            purge_run::result_code.eq(next.result_code),
            purge_run::throttled_by.eq(&next.throttled_by),
        ))
        .execute(conn)?;
    if updated == 1 { Ok(()) } else { Err(StoreError::RunLost(next.id)) }
}

fn update_campaign(conn: &mut AnyConnection, next: &CampaignRow) -> Result<(), StoreError> {
    use purge_run_campaign as c;
    let row = c::run_id.eq(next.run_id).and(c::campaign_id.eq(next.campaign_id));
    let updated = diesel::update(c::table.filter(row))
        .set((
            c::state.eq(next.state),
            c::walk.eq(next.walk),
            c::matched.eq(next.matched),
            c::deleted.eq(next.deleted),
            c::archived.eq(next.archived),
            c::barred_call_ongoing.eq(next.barred_call_ongoing),
            c::barred_call_completed.eq(next.barred_call_completed),
            c::barred_ongoing_task.eq(next.barred_ongoing_task),
            c::barred_unknown_status.eq(next.barred_unknown_status),
            c::chunks.eq(next.chunks),
            c::retries.eq(next.retries),
            c::sql_ms.eq(next.sql_ms),
            c::throttled_ms.eq(next.throttled_ms),
            c::slowest_chunk_ms.eq(next.slowest_chunk_ms),
            c::cursor.eq(&next.cursor),
            c::outcome_code.eq(next.outcome_code),
            c::stop_reason.eq(&next.stop_reason),
            c::error.eq(&next.error),
        ))
        .execute(conn)?;
    if updated == 1 { Ok(()) } else { Err(StoreError::RunLost(next.run_id)) }
}

/// Whether the ledger has these rows: the answer to a COMMIT that got none.
pub(crate) fn is_saved(conn: &mut AnyConnection, ledger: &LedgerState) -> Result<bool, StoreError> {
    let wanted = &ledger.run;
    let found: Option<RunRow> = purge_run::table.filter(purge_run::id.eq(wanted.id)).first(conn).optional()?;
    let Some(found) = found else { return Ok(false) };
    // A person may have put an active run into another active state; one that has ended must have ended as meant.
    let same_state = found.state == wanted.state || found.state.is_active() && wanted.state.is_active();
    // Two attempts at one chunk may both be in doubt, and differ in what they did.
    Ok(same_state
        && found.owner == wanted.owner
        && (found.chunks, &found.cursor, found.counts()) == (wanted.chunks, &wanted.cursor, wanted.counts()))
}

/// Says that the run is alive.
pub(crate) fn beat(conn: &mut AnyConnection, run_id: i64, now: NaiveDateTime) -> Result<(), StoreError> {
    let mine =
        purge_run::id.eq(run_id).and(purge_run::owner.eq(owner())).and(purge_run::state.eq_any(RunState::ACTIVE));
    diesel::update(purge_run::table.filter(mine)).set(purge_run::heartbeat_at.eq(now)).execute(conn)?;
    Ok(())
}

/// The active states, as the column has them.
/// This process, as the ledger names it: host, process id, and a number that tells it from an earlier one of that id.
pub(crate) fn owner() -> &'static str {
    static OWNER: LazyLock<String> = LazyLock::new(|| {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        // The column has 100 characters.
        let host: String = host.trim().chars().take(64).collect();
        format!("{host}:{}:{:08x}", std::process::id(), rand::random::<u32>())
    });
    &OWNER
}
