//! Queries of the ledger about policies.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::model::campaign::{CampaignId, VdnId};
use crate::model::run::{RunKind, RunState, Target};
use crate::store::db::schema::{purge_run, purge_run_campaign};
use crate::store::db::{AnyConnection, StoreError};
use crate::store::ledger::runs::DEAD_AFTER;

/// The key of the newest firing of a policy: that of its newest run that a schedule started.
///
/// # Errors
/// The database's.
pub fn newest_key(conn: &mut AnyConnection, policy: &str) -> Result<Option<String>, StoreError> {
    let newest = purge_run::table
        .filter(purge_run::policy.eq(policy).and(purge_run::kind.eq(RunKind::Policy)))
        .filter(purge_run::request_key.is_not_null())
        .order(purge_run::id.desc())
        .select(purge_run::request_key)
        .first::<Option<String>>(conn)
        .optional()?;
    Ok(newest.flatten())
}

/// The runs that a schedule started and whose process died, oldest first, each with its policy.
///
/// # Errors
/// The database's.
pub fn interrupted(conn: &mut AnyConnection) -> Result<Vec<(i64, String)>, StoreError> {
    let found: Vec<(i64, Option<String>)> = purge_run::table
        .filter(purge_run::state.eq(RunState::Interrupted))
        .filter(purge_run::kind.eq(RunKind::Policy).and(purge_run::request_key.is_not_null()))
        .order(purge_run::id)
        .select((purge_run::id, purge_run::policy))
        .load(conn)?;
    Ok(found.into_iter().filter_map(|(id, policy)| Some((id, policy?))).collect())
}

/// A run in progress that has not finished one of these campaigns.
///
/// # Errors
/// The database's.
pub fn at_work_on(conn: &mut AnyConnection, targets: &[Target], now: NaiveDateTime) -> Result<Option<i64>, StoreError> {
    use purge_run_campaign as c;
    let alive = purge_run::state.eq_any(RunState::ACTIVE).and(purge_run::heartbeat_at.ge(now - DEAD_AFTER));
    let runs: Vec<i64> = purge_run::table.filter(alive).select(purge_run::id).load(conn)?;
    let unfinished = [RunState::Planned, RunState::Running];
    let busy: Vec<(i64, CampaignId)> = c::table
        .filter(c::run_id.eq_any(runs).and(c::state.eq_any(unfinished)))
        .select((c::run_id, c::campaign_id))
        .load(conn)?;
    let is_target = |campaign| targets.iter().any(|target| target.campaign_id == campaign);
    Ok(busy.into_iter().find(|(_, campaign)| is_target(*campaign)).map(|(run, _)| run))
}

/// The campaigns that a run has not finished.
///
/// # Errors
/// The database's, or a row that no version of Callsweep writes.
pub fn unfinished(conn: &mut AnyConnection, run_id: i64) -> Result<Vec<Target>, StoreError> {
    use purge_run_campaign as c;
    let rows: Vec<(VdnId, CampaignId)> = c::table
        .filter(c::run_id.eq(run_id).and(c::state.ne(RunState::Succeeded)))
        .select((c::vdn_id, c::campaign_id))
        .load(conn)?;
    Ok(rows.into_iter().map(|(vdn_id, campaign_id)| Target { vdn_id, campaign_id }).collect())
}

/// When a run of the policy last succeeded.
///
/// # Errors
/// The database's.
pub fn last_success(conn: &mut AnyConnection, policy: &str) -> Result<Option<NaiveDateTime>, StoreError> {
    let newest = purge_run::table
        .filter(purge_run::policy.eq(policy).and(purge_run::kind.eq(RunKind::Policy)))
        .filter(purge_run::state.eq(RunState::Succeeded))
        .order(purge_run::id.desc())
        .select(purge_run::finished_at)
        .first::<Option<NaiveDateTime>>(conn)
        .optional()?;
    Ok(newest.flatten())
}

/// A summary of a run of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRun {
    /// Its state.
    pub state: RunState,
    /// When it began.
    pub started_at: NaiveDateTime,
    /// What it removed.
    pub deleted: i64,
}

/// The newest runs of a policy, at most `limit`, newest first.
///
/// # Errors
/// The database's.
pub fn newest_runs(conn: &mut AnyConnection, policy: &str, limit: u32) -> Result<Vec<PolicyRun>, StoreError> {
    let rows: Vec<(RunState, NaiveDateTime, i64)> = purge_run::table
        .filter(purge_run::policy.eq(policy).and(purge_run::kind.eq(RunKind::Policy)))
        .order(purge_run::id.desc())
        .limit(limit.into())
        .select((purge_run::state, purge_run::started_at, purge_run::deleted))
        .load(conn)?;
    let run = |(state, started_at, deleted)| PolicyRun { state, started_at, deleted };
    Ok(rows.into_iter().map(run).collect())
}
