//! The ledger: `purge_run`.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use super::schema::purge_run;
use super::{AnyConnection, StoreError};
use crate::campaign::{CampaignId, VdnId};
use crate::rules::Barred;
use crate::run::{Counts, NewRun, Run, RunKind, RunState};

/// A row of `purge_run`, as this process last wrote it or is about to.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Insertable)]
#[diesel(table_name = purge_run)]
pub(crate) struct LedgerRow {
    pub(crate) id: i64,
    kind: String,
    policy: Option<String>,
    actor: String,
    vdn_id: i32,
    campaign_id: Option<i64>,
    criteria: String,
    archive_history: bool,
    state: String,
    matched: i64,
    deleted: i64,
    archived: i64,
    barred: i64,
    barred_call_ongoing: i64,
    barred_call_completed: i64,
    barred_ongoing_task: i64,
    barred_unknown_status: i64,
    pub(crate) chunks: i64,
    pub(crate) cursor: Option<String>,
    started_at: NaiveDateTime,
    pub(crate) heartbeat_at: NaiveDateTime,
    finished_at: Option<NaiveDateTime>,
    stop_reason: Option<String>,
    error: Option<String>,
    request_key: Option<String>,
    result_code: Option<String>,
    request_id: Option<String>,
    client_address: Option<String>,
    owner: String,
    throttled_by: Option<String>,
    restored: i64,
    pruned: i64,
}

impl LedgerRow {
    /// The row of a run that has not removed anything yet.
    pub(crate) fn new(id: i64, run: &NewRun, now: NaiveDateTime) -> Result<Self, StoreError> {
        let criteria = serde_json::to_string(&run.criteria)
            .map_err(|error| StoreError::Unreadable(format!("the run's criteria: {error}")))?;
        Ok(Self {
            id,
            kind: run.kind.as_str().to_owned(),
            policy: run.policy.clone(),
            actor: run.actor.clone(),
            vdn_id: run.vdn_id.get(),
            campaign_id: Some(run.campaign_id.get()),
            criteria,
            archive_history: run.archive_history,
            state: RunState::Running.as_str().to_owned(),
            matched: 0,
            deleted: 0,
            archived: 0,
            barred: 0,
            barred_call_ongoing: 0,
            barred_call_completed: 0,
            barred_ongoing_task: 0,
            barred_unknown_status: 0,
            chunks: 0,
            cursor: None,
            started_at: now,
            heartbeat_at: now,
            finished_at: None,
            stop_reason: None,
            error: None,
            request_key: run.request.as_ref().and_then(|request| request.key.clone()),
            result_code: None,
            request_id: run.request.as_ref().map(|request| request.id.clone()),
            client_address: run.request.as_ref().map(|request| request.client_address.clone()),
            owner: owner(),
            throttled_by: None,
            restored: 0,
            pruned: 0,
        })
    }

    /// Adds a chunk's counts.
    pub(crate) fn add(&mut self, counts: &Counts) {
        self.matched += counts.matched;
        self.deleted += counts.deleted;
        self.archived += counts.archived;
        self.barred += counts.barred.total();
        self.barred_call_ongoing += counts.barred.call_ongoing;
        self.barred_call_completed += counts.barred.call_completed;
        self.barred_ongoing_task += counts.barred.ongoing_task;
        self.barred_unknown_status += counts.barred.unknown_status;
    }

    /// Ends the run.
    pub(crate) fn finish(&mut self, ending: &Ending, now: NaiveDateTime) {
        ending.state.as_str().clone_into(&mut self.state);
        self.stop_reason.clone_from(&ending.stop_reason);
        self.error.clone_from(&ending.error);
        self.result_code.clone_from(&ending.result_code);
        self.heartbeat_at = now;
        self.finished_at = Some(now);
    }

    /// Whether `self` says nothing about the end of the run that `earlier` does not.
    pub(crate) fn is_same_ending(&self, earlier: &Self) -> bool {
        self.state == earlier.state && self.result_code == earlier.result_code
    }

    /// The run id under which numbers go to history, when they do.
    pub(crate) fn archive_into(&self) -> Option<i64> {
        self.archive_history.then_some(self.id)
    }
}

/// How a run ends.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    pub(crate) state: RunState,
    pub(crate) stop_reason: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) result_code: Option<String>,
}

/// Writes a run's row: a new one, or the next after `saved`. A row that is not as this process left it is somebody
/// else's by now.
pub(crate) fn save(conn: &mut AnyConnection, saved: Option<&LedgerRow>, next: &LedgerRow) -> Result<(), StoreError> {
    let Some(saved) = saved else {
        diesel::insert_into(purge_run::table).values(next).execute(conn)?;
        return Ok(());
    };
    let as_left =
        purge_run::id.eq(saved.id).and(purge_run::chunks.eq(saved.chunks)).and(purge_run::state.eq(&saved.state));
    let updated = diesel::update(purge_run::table.filter(as_left))
        .set((
            purge_run::state.eq(&next.state),
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
            purge_run::heartbeat_at.eq(next.heartbeat_at),
            purge_run::finished_at.eq(next.finished_at),
            purge_run::stop_reason.eq(&next.stop_reason),
            purge_run::error.eq(&next.error),
            purge_run::result_code.eq(&next.result_code),
        ))
        .execute(conn)?;
    if updated == 1 { Ok(()) } else { Err(StoreError::RunLost(saved.id)) }
}

/// Whether the ledger has this row: the answer to a COMMIT that got none.
pub(crate) fn is_saved(conn: &mut AnyConnection, row: &LedgerRow) -> Result<bool, StoreError> {
    let found: Option<LedgerRow> = purge_run::table.filter(purge_run::id.eq(row.id)).first(conn).optional()?;
    Ok(found.as_ref() == Some(row))
}

/// Which runs to list.
#[derive(Debug, Clone, Copy)]
pub struct RunFilter {
    /// Of this kind.
    pub kind: Option<RunKind>,
    /// In this VDN.
    pub vdn: Option<VdnId>,
    /// In this campaign.
    pub campaign: Option<CampaignId>,
    /// So many at most.
    pub limit: u32,
}

impl Default for RunFilter {
    fn default() -> Self {
        Self { kind: None, vdn: None, campaign: None, limit: 20 }
    }
}

/// The run with this id.
///
/// # Errors
/// The database's.
pub fn find(conn: &mut AnyConnection, id: i64) -> Result<Option<Run>, StoreError> {
    let row: Option<LedgerRow> = purge_run::table.filter(purge_run::id.eq(id)).first(conn).optional()?;
    row.map(Run::try_from).transpose()
}

/// Runs, newest first.
///
/// # Errors
/// The database's.
pub fn list(conn: &mut AnyConnection, filter: &RunFilter) -> Result<Vec<Run>, StoreError> {
    // A filter that is not given compares with an open range, so that one query serves all.
    let (vdn_from, vdn_upto) = filter.vdn.map_or((i32::MIN, i32::MAX), |vdn| (vdn.get(), vdn.get()));
    let (campaign_from, campaign_upto) =
        filter.campaign.map_or((i64::MIN, i64::MAX), |campaign| (campaign.get(), campaign.get()));
    let kinds = match filter.kind {
        Some(kind) => vec![kind.as_str()],
        None => vec![RunKind::Request.as_str(), RunKind::Policy.as_str(), RunKind::Manual.as_str()],
    };
    let rows: Vec<LedgerRow> = purge_run::table
        .filter(purge_run::vdn_id.between(vdn_from, vdn_upto))
        .filter(purge_run::campaign_id.between(campaign_from, campaign_upto))
        .filter(purge_run::kind.eq_any(kinds))
        .order(purge_run::id.desc())
        .limit(filter.limit.into())
        .load(conn)?;
    rows.into_iter().map(Run::try_from).collect()
}

impl TryFrom<LedgerRow> for Run {
    type Error = StoreError;

    fn try_from(row: LedgerRow) -> Result<Self, StoreError> {
        let criteria = serde_json::from_str(&row.criteria)
            .map_err(|error| StoreError::Unreadable(format!("criteria of run {}: {error}", row.id)))?;
        Ok(Self {
            id: row.id,
            kind: row.kind,
            policy: row.policy,
            actor: row.actor,
            vdn_id: row.vdn_id,
            campaign_id: row.campaign_id,
            criteria,
            archive_history: row.archive_history,
            state: row.state,
            matched: row.matched,
            deleted: row.deleted,
            archived: row.archived,
            barred: row.barred,
            barred_by_reason: Barred {
                call_ongoing: row.barred_call_ongoing,
                call_completed: row.barred_call_completed,
                ongoing_task: row.barred_ongoing_task,
                unknown_status: row.barred_unknown_status,
            },
            chunks: row.chunks,
            cursor: row.cursor,
            started_at: row.started_at,
            heartbeat_at: row.heartbeat_at,
            finished_at: row.finished_at,
            stop_reason: row.stop_reason,
            error: row.error,
            request_key: row.request_key,
            result_code: row.result_code,
            request_id: row.request_id,
            client_address: row.client_address,
            owner: row.owner,
            throttled_by: row.throttled_by,
            restored: row.restored,
            pruned: row.pruned,
        })
    }
}

/// This process, as the ledger names it: host, process id, and a number that tells it from an earlier one of that id.
fn owner() -> String {
    static OWNER: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host: String = host.trim().chars().take(64).collect();
        format!("{host}:{}:{:08x}", std::process::id(), rand::random::<u32>())
    });
    OWNER.clone()
}
