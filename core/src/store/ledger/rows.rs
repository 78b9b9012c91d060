//! The rows of `purge_run` and `purge_run_campaign`.

use chrono::NaiveDateTime;
use diesel::backend::Backend;
use diesel::deserialize::{FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::prelude::*;
use diesel::serialize::{Output, ToSql};
use diesel::sql_types::Integer;

use crate::model::campaign::{CampaignId, VdnId};
use crate::model::outcome_code::OutcomeCode;
use crate::model::result_code::ResultCode;
use crate::model::rules::Barred;
use crate::model::run::{Counts, NewRun, RunKind, RunState, Target};
use crate::model::walk::Walk;
use crate::store::db::StoreError;
use crate::store::db::schema::{purge_run, purge_run_campaign};
use crate::store::ledger::owner;

/// What is known about a run of any kind before it begins.
pub(crate) struct Origin<'a> {
    pub(crate) kind: RunKind,
    pub(crate) policy: Option<String>,
    pub(crate) actor: &'a str,
    pub(crate) targets: &'a [Target],
    /// JSON.
    pub(crate) criteria: String,
    pub(crate) archive_history: bool,
}

/// A row of `purge_run`.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Insertable)]
#[diesel(table_name = purge_run)]
pub(crate) struct RunRow {
    pub(crate) id: i64,
    pub(crate) kind: RunKind,
    pub(crate) policy: Option<String>,
    pub(crate) actor: String,
    pub(crate) vdn_id: RunVdn,
    pub(crate) campaign_id: Option<CampaignId>,
    pub(crate) criteria: String,
    pub(crate) archive_history: bool,
    pub(crate) state: RunState,
    pub(crate) matched: i64,
    pub(crate) deleted: i64,
    pub(crate) archived: i64,
    pub(crate) barred: i64,
    pub(crate) barred_call_ongoing: i64,
    pub(crate) barred_call_completed: i64,
    pub(crate) barred_ongoing_task: i64,
    pub(crate) barred_unknown_status: i64,
    pub(crate) chunks: i64,
    pub(crate) cursor: Option<String>,
    pub(crate) started_at: NaiveDateTime,
    pub(crate) heartbeat_at: NaiveDateTime,
    pub(crate) finished_at: Option<NaiveDateTime>,
    pub(crate) stop_reason: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) request_key: Option<String>,
    pub(crate) result_code: Option<ResultCode>,
    pub(crate) request_id: Option<String>,
    pub(crate) client_address: Option<String>,
    pub(crate) owner: String,
    pub(crate) throttled_by: Option<String>,
    pub(crate) restored: i64,
    pub(crate) pruned: i64,
    pub(crate) idempotency_key: Option<String>,
    pub(crate) outcome_code: Option<OutcomeCode>,
    pub(crate) barred_by_database: i64,
    pub(crate) barred_constraint: Option<String>,
}

impl RunRow {
    /// The row of a new sweep or request.
    pub(crate) fn new(id: i64, run: &NewRun, now: NaiveDateTime) -> Result<Self, StoreError> {
        let criteria = serde_json::to_string(&run.criteria)
            .map_err(|error| StoreError::Unreadable(format!("the run's criteria: {error}")))?;
        let (kind, policy, targets) = (run.kind, run.policy.clone(), &run.targets[..]);
        let archive_history = run.archive_history;
        let origin = Origin { kind, policy, actor: &run.actor, targets, criteria, archive_history };
        Ok(Self {
            request_key: run.key.clone(),
            request_id: run.request.as_ref().map(|request| request.id.clone()),
            client_address: run.request.as_ref().map(|request| request.client_address.clone()),
            idempotency_key: run.idempotency_key().map(str::to_owned),
            ..Self::opened(id, origin, now)
        })
    }

    /// The row of a new run of any kind.
    pub(crate) fn opened(id: i64, origin: Origin<'_>, now: NaiveDateTime) -> Self {
        let Origin { kind, policy, actor, targets, criteria, archive_history } = origin;
        let one = if let [one] = targets[..] { Some(one) } else { None };
        let first_vdn = targets.first().map(|target| target.vdn_id);
        let one_vdn = first_vdn.filter(|vdn| targets.iter().all(|target| target.vdn_id == *vdn));
        Self {
            id,
            kind,
            policy,
            actor: actor.to_owned(),
            vdn_id: RunVdn(one_vdn),
            campaign_id: one.map(|target| target.campaign_id),
            criteria,
            archive_history,
            state: RunState::Running,
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
            request_key: None,
            result_code: None,
            request_id: None,
            client_address: None,
            owner: owner().to_owned(),
            throttled_by: None,
            restored: 0,
            pruned: 0,
            idempotency_key: None,
            outcome_code: None,
            barred_by_database: 0,
            barred_constraint: None,
        }
    }

    /// Whether the run has a unique key.
    pub(crate) fn has_key(&self) -> bool {
        self.request_key.is_some() || self.idempotency_key.is_some()
    }

    /// The run id for archived numbers. `None`: the run deletes without archiving.
    pub(crate) fn archive_into(&self) -> Option<i64> {
        self.archive_history.then_some(self.id)
    }

    /// Sets the columns that describe the end of the run.
    pub(crate) fn end(&mut self, end: RunEnd, now: NaiveDateTime) {
        let RunEnd { state, outcome, stop_reason, error, result_code } = end;
        self.state = state;
        self.outcome_code = Some(outcome);
        self.stop_reason = stop_reason.as_deref().map(fit_stop_reason);
        self.error = error;
        self.result_code = result_code;
        self.throttled_by = None;
        self.heartbeat_at = now;
        self.finished_at = Some(now);
    }
}

/// The columns that describe the end of a run.
pub(crate) struct RunEnd {
    pub(crate) state: RunState,
    pub(crate) outcome: OutcomeCode,
    /// For people: why it stopped or was refused.
    pub(crate) stop_reason: Option<String>,
    /// For people: the error that ended it.
    pub(crate) error: Option<String>,
    pub(crate) result_code: Option<ResultCode>,
}

/// The length of the columns `stop_reason` and `throttled_by`, in characters.
const STOP_REASON_MAX_CHARS: usize = 255;

/// Truncates a reason to the length of its column.
pub(crate) fn fit_stop_reason(reason: &str) -> String {
    reason.chars().take(STOP_REASON_MAX_CHARS).collect()
}

/// The column `purge_run.vdn_id`. It stores `None` (a run over several VDNs, or a prune) as 0: version 0.1.0 did so, and the
/// column is NOT NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Integer)]
pub(crate) struct RunVdn(pub(crate) Option<VdnId>);

impl<DB: Backend> ToSql<Integer, DB> for RunVdn
where
    i32: ToSql<Integer, DB>,
    VdnId: ToSql<Integer, DB>,
{
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, DB>) -> diesel::serialize::Result {
        match &self.0 {
            Some(vdn) => vdn.to_sql(out),
            None => ToSql::<Integer, DB>::to_sql(&0, out),
        }
    }
}

impl<DB: Backend> FromSql<Integer, DB> for RunVdn
where
    i32: FromSql<Integer, DB>,
{
    fn from_sql(bytes: DB::RawValue<'_>) -> diesel::deserialize::Result<Self> {
        match i32::from_sql(bytes)? {
            0 => Ok(Self(None)),
            vdn => Ok(Self(Some(VdnId::try_from(i64::from(vdn))?))),
        }
    }
}

/// A row of `purge_run_campaign`.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Insertable)]
#[diesel(table_name = purge_run_campaign)]
pub(crate) struct CampaignRow {
    pub(crate) run_id: i64,
    pub(crate) campaign_id: CampaignId,
    pub(crate) vdn_id: VdnId,
    pub(crate) state: RunState,
    pub(crate) walk: Option<Walk>,
    pub(crate) matched: i64,
    pub(crate) deleted: i64,
    pub(crate) archived: i64,
    pub(crate) barred_call_ongoing: i64,
    pub(crate) barred_call_completed: i64,
    pub(crate) barred_ongoing_task: i64,
    pub(crate) barred_unknown_status: i64,
    pub(crate) chunks: i64,
    pub(crate) retries: i64,
    pub(crate) sql_ms: i64,
    pub(crate) throttled_ms: i64,
    pub(crate) slowest_chunk_ms: i64,
    pub(crate) cursor: Option<String>,
    pub(crate) stop_reason: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) outcome_code: Option<OutcomeCode>,
    pub(crate) barred_by_database: i64,
    pub(crate) barred_constraint: Option<String>,
}

impl CampaignRow {
    /// The row's campaign.
    pub(crate) fn target(&self) -> Target {
        Target { vdn_id: self.vdn_id, campaign_id: self.campaign_id }
    }

    pub(crate) fn new(run_id: i64, target: Target) -> Self {
        Self {
            run_id,
            campaign_id: target.campaign_id,
            vdn_id: target.vdn_id,
            state: RunState::Planned,
            walk: None,
            matched: 0,
            deleted: 0,
            archived: 0,
            barred_call_ongoing: 0,
            barred_call_completed: 0,
            barred_ongoing_task: 0,
            barred_unknown_status: 0,
            chunks: 0,
            retries: 0,
            sql_ms: 0,
            throttled_ms: 0,
            slowest_chunk_ms: 0,
            cursor: None,
            stop_reason: None,
            error: None,
            outcome_code: None,
            barred_by_database: 0,
            barred_constraint: None,
        }
    }
}

macro_rules! counts_of {
    ($($row:ident),*) => {$(
        impl $row {
            /// The counts that its columns hold.
            pub(crate) fn counts(&self) -> Counts {
                let barred = Barred {
                    call_ongoing: self.barred_call_ongoing,
                    call_completed: self.barred_call_completed,
                    ongoing_task: self.barred_ongoing_task,
                    unknown_status: self.barred_unknown_status,
                };
                Counts { matched: self.matched, deleted: self.deleted, archived: self.archived, barred }
            }
        }
    )*};
}
counts_of!(RunRow, CampaignRow);
