//! Queries of the ledger, and the updates that processes other than a run's owner may make.

use chrono::{NaiveDateTime, TimeDelta};
use diesel::prelude::*;

use crate::model::campaign::{CampaignId, VdnId};
use crate::model::outcome_code::OutcomeCode;
use crate::model::run::{CampaignRun, Run, RunKind, RunState};
use crate::store::db::schema::{purge_run, purge_run_campaign};
use crate::store::db::{AnyConnection, StoreError};
use crate::store::ledger::{CampaignRow, RunRow, owner};

/// A run without a heartbeat for this long is considered dead: three missed heartbeats.
pub const DEAD_AFTER: TimeDelta = TimeDelta::seconds(30);

/// Selects the runs to list.
#[derive(Debug, Clone)]
pub struct RunFilter {
    /// Of this kind.
    pub kind: Option<RunKind>,
    /// Of this policy.
    pub policy: Option<String>,
    /// In this VDN.
    pub vdn: Option<VdnId>,
    /// In this campaign; a sweep over several campaigns is in none.
    pub campaign: Option<CampaignId>,
    /// In this state.
    pub state: Option<RunState>,
    /// By an actor whose name begins with this.
    pub actor: Option<String>,
    /// That began at this time or later, UTC.
    pub since: Option<NaiveDateTime>,
    /// The most runs to return.
    pub limit: u32,
}

impl Default for RunFilter {
    fn default() -> Self {
        Self { kind: None, policy: None, vdn: None, campaign: None, state: None, actor: None, since: None, limit: 20 }
    }
}

/// The run with this id.
///
/// # Errors
/// The database's.
pub fn find(conn: &mut AnyConnection, id: i64) -> Result<Option<Run>, StoreError> {
    find_row(conn, id)?.map(Run::try_from).transpose()
}

pub(crate) fn find_row(conn: &mut AnyConnection, id: i64) -> Result<Option<RunRow>, StoreError> {
    Ok(purge_run::table.filter(purge_run::id.eq(id)).first(conn).optional()?)
}

/// The run that has this key.
///
/// # Errors
/// The database's.
pub fn find_by_key(conn: &mut AnyConnection, key: &str) -> Result<Option<Run>, StoreError> {
    let row: Option<RunRow> = purge_run::table.filter(purge_run::request_key.eq(key)).first(conn).optional()?;
    row.map(Run::try_from).transpose()
}

/// The request that has this Idempotency-Key, by its digest.
///
/// # Errors
/// The database's.
pub fn find_by_idempotency_key(conn: &mut AnyConnection, key: &str) -> Result<Option<Run>, StoreError> {
    let row: Option<RunRow> = purge_run::table.filter(purge_run::idempotency_key.eq(key)).first(conn).optional()?;
    row.map(Run::try_from).transpose()
}

/// Runs, newest first.
///
/// # Errors
/// The database's.
pub fn list(conn: &mut AnyConnection, filter: &RunFilter) -> Result<Vec<Run>, StoreError> {
    // A missing filter becomes a condition that is always true, so that one query serves all combinations. That does not
    // work for campaign and policy: these columns may be NULL, and NULL fails every comparison.
    let (vdn_from, vdn_upto) = filter.vdn.map_or((i32::MIN, i32::MAX), |vdn| (vdn.get(), vdn.get()));
    let kinds = match filter.kind {
        Some(kind) => vec![kind],
        None => RunKind::ALL.to_vec(),
    };
    let states = filter.state.map_or_else(|| RunState::ALL.to_vec(), |state| vec![state]);
    let actors = format!("{}%", escaped(filter.actor.as_deref().unwrap_or_default()));
    let since = filter.since.unwrap_or_default();
    let of = purge_run::table
        .filter(purge_run::state.eq_any(states))
        .filter(purge_run::actor.like(actors).escape(ESCAPE))
        .filter(purge_run::started_at.ge(since))
        .filter(purge_run::vdn_id.between(vdn_from, vdn_upto))
        .filter(purge_run::kind.eq_any(kinds))
        .order(purge_run::id.desc())
        .limit(filter.limit.into());
    let rows: Vec<RunRow> = match (filter.campaign, &filter.policy) {
        (None, None) => of.load(conn)?,
        (Some(campaign), None) => of.filter(purge_run::campaign_id.eq(campaign.get())).load(conn)?,
        (None, Some(policy)) => of.filter(purge_run::policy.eq(policy)).load(conn)?,
        (Some(campaign), Some(policy)) => {
            of.filter(purge_run::campaign_id.eq(campaign.get())).filter(purge_run::policy.eq(policy)).load(conn)?
        }
    };
    rows.into_iter().map(Run::try_from).collect()
}

/// Not the backslash, which MariaDB interprets in string literals.
const ESCAPE: char = '!';

/// Escapes a text for LIKE.
fn escaped(text: &str) -> String {
    let special = |c: &char| ['%', '_', ESCAPE].contains(c);
    text.chars().flat_map(|c| special(&c).then_some(ESCAPE).into_iter().chain([c])).collect()
}

/// The campaigns of a sweep, in the order of their ids.
///
/// # Errors
/// The database's.
pub fn campaigns(conn: &mut AnyConnection, run_id: i64) -> Result<Vec<CampaignRun>, StoreError> {
    Ok(campaign_rows(conn, run_id)?.into_iter().map(CampaignRun::from).collect())
}

pub(crate) fn campaign_rows(conn: &mut AnyConnection, run_id: i64) -> Result<Vec<CampaignRow>, StoreError> {
    use purge_run_campaign as c;
    Ok(c::table.filter(c::run_id.eq(run_id)).order(c::campaign_id).load(conn)?)
}

/// What the ledger says to people of a run whose process died.
const PROCESS_DIED: &str = "its process stopped reporting";

/// The run as [`interrupt_dead`] would write it down, for whoever only reads.
#[must_use]
pub fn as_seen_at(now: NaiveDateTime, run: Run) -> Run {
    if !run.state.is_active() || run.heartbeat_at >= now - DEAD_AFTER {
        return run;
    }
    Run {
        state: RunState::Interrupted,
        outcome_code: Some(OutcomeCode::ProcessDied),
        stop_reason: Some(PROCESS_DIED.to_owned()),
        throttled_by: None,
        ..run
    }
}

/// Marks runs whose process has died as interrupted. Returns how many there were.
///
/// # Errors
/// The database's.
pub fn interrupt_dead(conn: &mut AnyConnection, now: NaiveDateTime) -> Result<usize, StoreError> {
    let dead = purge_run::state.eq_any(RunState::ACTIVE).and(purge_run::heartbeat_at.lt(now - DEAD_AFTER));
    let interrupted = (
        purge_run::state.eq(RunState::Interrupted),
        purge_run::outcome_code.eq(OutcomeCode::ProcessDied),
        purge_run::stop_reason.eq(PROCESS_DIED),
        purge_run::throttled_by.eq(None::<String>),
    );
    Ok(diesel::update(purge_run::table.filter(dead)).set(interrupted).execute(conn)?)
}

/// Makes this process the owner of a run that is not active, and the run active. The update requires the row to be as it was
/// read. `None`: another process has changed it.
pub(crate) fn take_over(
    conn: &mut AnyConnection,
    found: &RunRow,
    now: NaiveDateTime,
) -> Result<Option<RunRow>, StoreError> {
    let as_found = purge_run::id
        .eq(found.id)
        .and(purge_run::state.eq(found.state))
        .and(purge_run::owner.eq(&found.owner))
        .and(purge_run::chunks.eq(found.chunks));
    let mut next = found.clone();
    next.state = RunState::Running;
    next.owner = owner().to_owned();
    next.heartbeat_at = now;
    (next.finished_at, next.outcome_code) = (None, None);
    (next.stop_reason, next.error, next.throttled_by) = (None, None, None);
    let taken = (
        purge_run::state.eq(next.state),
        purge_run::owner.eq(&next.owner),
        purge_run::heartbeat_at.eq(now),
        purge_run::finished_at.eq(next.finished_at),
        purge_run::outcome_code.eq(next.outcome_code),
        purge_run::stop_reason.eq(&next.stop_reason),
        purge_run::error.eq(&next.error),
        purge_run::throttled_by.eq(&next.throttled_by),
    );
    let updated = diesel::update(purge_run::table.filter(as_found)).set(taken).execute(conn)?;
    Ok((updated == 1).then_some(next))
}

impl TryFrom<RunRow> for Run {
    type Error = StoreError;

    fn try_from(row: RunRow) -> Result<Self, StoreError> {
        let counts = row.counts();
        let criteria = serde_json::from_str(&row.criteria)
            .map_err(|error| StoreError::Unreadable(format!("criteria of run {}: {error}", row.id)))?;
        Ok(Self {
            id: row.id,
            kind: row.kind,
            policy: row.policy,
            actor: row.actor,
            vdn_id: row.vdn_id.0,
            campaign_id: row.campaign_id,
            criteria,
            archive_history: row.archive_history,
            state: row.state,
            counts,
            chunks: row.chunks,
            cursor: row.cursor,
            started_at: row.started_at,
            heartbeat_at: row.heartbeat_at,
            finished_at: row.finished_at,
            outcome_code: row.outcome_code,
            stop_reason: row.stop_reason,
            error: row.error,
            throttled_by: row.throttled_by,
            request_key: row.request_key,
            idempotency_key: row.idempotency_key,
            result_code: row.result_code,
            request_id: row.request_id,
            client_address: row.client_address,
            owner: row.owner,
            restored: row.restored,
            pruned: row.pruned,
        })
    }
}

impl From<CampaignRow> for CampaignRun {
    fn from(row: CampaignRow) -> Self {
        Self {
            counts: row.counts(),
            campaign_id: row.campaign_id,
            vdn_id: row.vdn_id,
            state: row.state,
            walk: row.walk,
            chunks: row.chunks,
            retries: row.retries,
            sql_ms: row.sql_ms,
            throttled_ms: row.throttled_ms,
            slowest_chunk_ms: row.slowest_chunk_ms,
            cursor: row.cursor,
            outcome_code: row.outcome_code,
            stop_reason: row.stop_reason,
            error: row.error,
        }
    }
}
