//! What the ledger knows about policies.

use chrono::NaiveDateTime;
use diesel::prelude::*;

use crate::model::run::{RunKind, RunState, Target};
use crate::store::db::schema::{purge_run, purge_run_campaign};
use crate::store::db::{AnyConnection, StoreError};
use crate::store::ledger::active;
use crate::store::ledger::runs::DEAD_AFTER;

/// The key of the newest firing of a policy: of its runs that a schedule began, the last one.
///
/// # Errors
/// The database's.
pub fn newest_key(conn: &mut AnyConnection, policy: &str) -> Result<Option<String>, StoreError> {
    let newest = purge_run::table
        .filter(purge_run::policy.eq(policy).and(purge_run::kind.eq(RunKind::Policy.as_str())))
        .filter(purge_run::request_key.is_not_null())
        .order(purge_run::id.desc())
        .select(purge_run::request_key)
        .first::<Option<String>>(conn)
        .optional()?;
    Ok(newest.flatten())
}

/// The runs of schedules whose process died, oldest first, each with its policy.
///
/// # Errors
/// The database's.
pub fn interrupted(conn: &mut AnyConnection) -> Result<Vec<(i64, String)>, StoreError> {
    let found: Vec<(i64, Option<String>)> = purge_run::table
        .filter(purge_run::state.eq(RunState::Interrupted.as_str()))
        .filter(purge_run::kind.eq(RunKind::Policy.as_str()).and(purge_run::request_key.is_not_null()))
        .order(purge_run::id)
        .select((purge_run::id, purge_run::policy))
        .load(conn)?;
    Ok(found.into_iter().filter_map(|(id, policy)| Some((id, policy?))).collect())
}

/// A run that a live process works on, and that is not yet done with one of these campaigns.
///
/// # Errors
/// The database's.
pub fn at_work_on(conn: &mut AnyConnection, targets: &[Target], now: NaiveDateTime) -> Result<Option<i64>, StoreError> {
    use purge_run_campaign as c;
    let alive = purge_run::state.eq_any(active()).and(purge_run::heartbeat_at.ge(now - DEAD_AFTER));
    let runs: Vec<i64> = purge_run::table.filter(alive).select(purge_run::id).load(conn)?;
    let unfinished = [RunState::Planned, RunState::Running].map(RunState::as_str);
    let busy: Vec<(i64, i64)> = c::table
        .filter(c::run_id.eq_any(runs).and(c::state.eq_any(unfinished)))
        .select((c::run_id, c::campaign_id))
        .load(conn)?;
    let is_target = |campaign: i64| targets.iter().any(|target| target.campaign_id.get() == campaign);
    Ok(busy.into_iter().find(|(_, campaign)| is_target(*campaign)).map(|(run, _)| run))
}

/// The campaigns of a run that it has not come to the end of.
///
/// # Errors
/// The database's, or a row that no version of Callsweep writes.
pub fn unfinished(conn: &mut AnyConnection, run_id: i64) -> Result<Vec<Target>, StoreError> {
    use purge_run_campaign as c;
    let rows: Vec<(i32, i64)> = c::table
        .filter(c::run_id.eq(run_id).and(c::state.ne(RunState::Succeeded.as_str())))
        .select((c::vdn_id, c::campaign_id))
        .load(conn)?;
    let target = |(vdn, campaign): (i32, i64)| {
        let unreadable = |error| StoreError::Unreadable(format!("a campaign of run {run_id}: {error}"));
        let vdn_id = i64::from(vdn).try_into().map_err(unreadable)?;
        Ok(Target { vdn_id, campaign_id: campaign.try_into().map_err(unreadable)? })
    };
    rows.into_iter().map(target).collect()
}

/// When a run of the policy last succeeded.
///
/// # Errors
/// The database's.
pub fn last_success(conn: &mut AnyConnection, policy: &str) -> Result<Option<NaiveDateTime>, StoreError> {
    let newest = purge_run::table
        .filter(purge_run::policy.eq(policy).and(purge_run::kind.eq(RunKind::Policy.as_str())))
        .filter(purge_run::state.eq(RunState::Succeeded.as_str()))
        .order(purge_run::id.desc())
        .select(purge_run::finished_at)
        .first::<Option<NaiveDateTime>>(conn)
        .optional()?;
    Ok(newest.flatten())
}

/// A run of a policy, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRun {
    /// How it stands. `None`: another version of Callsweep wrote it.
    pub state: Option<RunState>,
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
    let rows: Vec<(String, NaiveDateTime, i64)> = purge_run::table
        .filter(purge_run::policy.eq(policy).and(purge_run::kind.eq(RunKind::Policy.as_str())))
        .order(purge_run::id.desc())
        .limit(limit.into())
        .select((purge_run::state, purge_run::started_at, purge_run::deleted))
        .load(conn)?;
    let run = |(state, started_at, deleted): (String, _, _)| PolicyRun {
        state: RunState::from_column(&state),
        started_at,
        deleted,
    };
    Ok(rows.into_iter().map(run).collect())
}
