//! A run: one removal, from one campaign or several, as the ledger (`purge_run`) accounts for it.

use chrono::NaiveDateTime;
use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use serde::{Deserialize, Serialize};

use crate::model::bounds::Bounds;
use crate::model::campaign::{CampaignId, VdnId};
use crate::model::column::text_column;
use crate::model::criteria::Criteria;
use crate::model::outcome_code::OutcomeCode;
use crate::model::result_code::ResultCode;
use crate::model::rules::Barred;
use crate::model::walk::Walk;

/// Who asked for a run, by which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// A call of the endpoint.
    Request,
    /// A sweep by a policy, scheduled or by hand.
    Policy,
    /// A sweep by hand.
    Manual,
    /// Takes the numbers that another run archived back out of history. `matched` counts those that came back.
    Restore,
    /// Ends the retention of history. `deleted` counts what left `call_data_history`.
    Prune,
}

/// Where a run stands, or a campaign of a run.
///
/// ```text
/// planned -> running <-> throttled, paused -> stopping -> stopped
///               |-> succeeded, refused, failed
/// planned, running, throttled, paused, stopping -> interrupted -> running (--resume)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// In the ledger; nothing has been looked at yet.
    Planned,
    /// Chunks are being removed.
    Running,
    /// Held by a throttle between two chunks; `throttled_by` says which.
    Throttled,
    /// Held by a person between two chunks, until `runs ID resume`.
    Paused,
    /// Asked to end; the chunk under way is finished first.
    Stopping,
    /// All that matched has been looked at; what was not barred is gone.
    Succeeded,
    /// Ended between two chunks because somebody or a bound said so; `stop_reason` says which. Can be resumed.
    Stopped,
    /// Ended before the first row because the rules, a bound or another run forbid it; `stop_reason` says which. Where
    /// there are several campaigns, all of them were refused.
    Refused,
    /// Ended by an error; `error` says which. What was committed by then is counted. Can be resumed.
    Failed,
    /// Its process died or stopped reporting. What was committed by then is counted. Can be resumed.
    Interrupted,
}

impl RunState {
    /// The states in which a process works on the run, or is about to.
    pub const ACTIVE: [Self; 5] = [Self::Planned, Self::Running, Self::Throttled, Self::Paused, Self::Stopping];

    /// Whether a process works on the run, or is about to.
    #[must_use]
    pub fn is_active(self) -> bool {
        Self::ACTIVE.contains(&self)
    }
}

text_column!(RunKind {
    Request = "request",
    Policy = "policy",
    Manual = "manual",
    Restore = "restore",
    Prune = "prune",
});
text_column!(RunState {
    Planned = "planned",
    Running = "running",
    Throttled = "throttled",
    Paused = "paused",
    Stopping = "stopping",
    Succeeded = "succeeded",
    Stopped = "stopped",
    Refused = "refused",
    Failed = "failed",
    Interrupted = "interrupted",
});

/// A campaign that a run works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The VDN.
    pub vdn_id: VdnId,
    /// The campaign.
    pub campaign_id: CampaignId,
}

/// What is to be removed, from where, and for whom: everything about a run that is known before it begins.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// By which way it came.
    pub kind: RunKind,
    /// The name of the policy, for [`RunKind::Policy`].
    pub policy: Option<String>,
    /// Who asked: an access key, or the person at the command line.
    pub actor: String,
    /// The campaigns, in the order in which they are worked on. A request has one.
    pub targets: Vec<Target>,
    /// Which of their numbers.
    pub criteria: Criteria,
    /// Whether they move to the history table; otherwise they are deleted outright.
    pub archive_history: bool,
    /// How much may go.
    pub bounds: Bounds,
    /// What may happen once only, as the digest of a request's signature or a policy's firing: a run with the same key
    /// is not begun again. At most 128 characters.
    pub key: Option<String>,
    /// The call that it answers, for [`RunKind::Request`].
    pub request: Option<RequestOrigin>,
}

impl NewRun {
    /// The second key, of a request that has one.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<&str> {
        self.request.as_ref()?.idempotency_key.as_deref()
    }
}

/// Where a request came from, as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestOrigin {
    /// The id by which logs know it.
    pub id: String,
    /// The address of the client.
    pub client_address: String,
    /// A second key, beside [`NewRun::key`]: what the client calls one deletion however often it signs it. At most 128
    /// characters.
    pub idempotency_key: Option<String>,
}

/// Exact counts of numbers. `matched` is always `deleted` plus the barred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Numbers that passed every filter.
    pub matched: i64,
    /// Numbers that left `call_data`.
    pub deleted: i64,
    /// Those of the deleted that are now in `call_data_history`.
    pub archived: i64,
    /// Numbers that a rule kept where they are.
    pub barred: Barred,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.matched += other.matched;
        self.deleted += other.deleted;
        self.archived += other.archived;
        self.barred += other.barred;
    }
}

/// A row of the ledger, as it is read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the members are the columns of purge_run, described in its migration")]
pub struct Run {
    pub id: i64,
    pub kind: RunKind,
    pub policy: Option<String>,
    pub actor: String,
    /// `None`: campaigns of several VDNs, or history of any.
    pub vdn_id: Option<VdnId>,
    /// `None`: several campaigns.
    pub campaign_id: Option<CampaignId>,
    pub criteria: serde_json::Value,
    pub archive_history: bool,
    pub state: RunState,
    #[serde(flatten)]
    pub counts: Counts,
    pub chunks: i64,
    pub cursor: Option<String>,
    pub started_at: NaiveDateTime,
    pub heartbeat_at: NaiveDateTime,
    pub finished_at: Option<NaiveDateTime>,
    /// How it ended. `None`: it has not ended, or an earlier version of Callsweep did not say.
    pub outcome_code: Option<OutcomeCode>,
    /// For people.
    pub stop_reason: Option<String>,
    /// For people.
    pub error: Option<String>,
    pub throttled_by: Option<String>,
    pub request_key: Option<String>,
    pub idempotency_key: Option<String>,
    pub result_code: Option<ResultCode>,
    pub request_id: Option<String>,
    pub client_address: Option<String>,
    pub owner: String,
    pub restored: i64,
    pub pruned: i64,
}

/// The account of a sweep in one of its campaigns, as it is read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the members are the columns of purge_run_campaign, described in its migration")]
pub struct CampaignRun {
    pub campaign_id: CampaignId,
    pub vdn_id: VdnId,
    pub state: RunState,
    #[serde(serialize_with = "walk_column")]
    pub walk: Option<Walk>,
    #[serde(flatten)]
    pub counts: Counts,
    pub chunks: i64,
    pub retries: i64,
    pub sql_ms: i64,
    pub throttled_ms: i64,
    pub slowest_chunk_ms: i64,
    pub cursor: Option<String>,
    pub outcome_code: Option<OutcomeCode>,
    pub stop_reason: Option<String>,
    pub error: Option<String>,
}

/// As the column holds it; in the report of a sweep the walk is in words.
#[allow(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "the form that serde wants")]
fn walk_column<S: serde::Serializer>(walk: &Option<Walk>, serializer: S) -> Result<S::Ok, S::Error> {
    walk.map(Walk::as_str).serialize(serializer)
}

/// What the criteria of a restore say, as the ledger keeps them.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreCriteria {
    /// The run whose numbers come back.
    pub restored_run: i64,
}
