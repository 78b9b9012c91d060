//! Runs: one operation on one or several campaigns, as recorded in the ledger (`purge_run`).

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

/// What started a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// A request to the HTTP endpoint.
    Request,
    /// A sweep of a policy, started by its schedule or manually.
    Policy,
    /// A sweep started manually with criteria.
    Manual,
    /// Restores the numbers that another run archived. `matched` counts the restored numbers.
    Restore,
    /// Deletes history whose retention has ended. `deleted` counts the rows deleted from `call_data_history`.
    Prune,
}

/// The state of a run, or of a campaign of a run.
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
    /// Inserted into the ledger; no row has been read yet.
    Planned,
    /// Chunks are being removed.
    Running,
    /// Held between two chunks by the throttle in `throttled_by`.
    Throttled,
    /// Held between two chunks by an operator, until `runs ID resume`.
    Paused,
    /// Asked to stop; the current chunk is finished first.
    Stopping,
    /// All matching numbers were processed, and those that were not barred are removed.
    Succeeded,
    /// Stopped between two chunks by an operator or a bound; see `stop_reason`. Can be resumed.
    Stopped,
    /// Refused before the first row by the rules, a bound or another run; see `stop_reason`. A run over several campaigns
    /// is refused only if all of them are.
    Refused,
    /// Ended by an error; see `error`. The counts include what was committed before it. Can be resumed.
    Failed,
    /// Its process died or stopped writing heartbeats. The counts include what was committed before. Can be resumed.
    Interrupted,
}

impl RunState {
    /// The states in which a process works on the run, or will do so.
    pub const ACTIVE: [Self; 5] = [Self::Planned, Self::Running, Self::Throttled, Self::Paused, Self::Stopping];

    /// Whether a process works on the run, or will do so.
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

/// The specification of a run: everything that is known before it begins.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// What started it.
    pub kind: RunKind,
    /// The name of the policy, for [`RunKind::Policy`].
    pub policy: Option<String>,
    /// Who started it: an access key, or the user at the command line.
    pub actor: String,
    /// The campaigns, in the order in which they are worked on. A request has one.
    pub targets: Vec<Target>,
    /// Which numbers of the campaigns to remove.
    pub criteria: Criteria,
    /// Whether the numbers are archived in the history table. Otherwise they are only deleted.
    pub archive_history: bool,
    /// How much the run may remove.
    pub bounds: Bounds,
    /// A unique key for what must happen only once, such as the digest of a request's signature or a firing of a policy: no
    /// second run with the same key can begin. At most 128 characters.
    pub key: Option<String>,
    /// The HTTP request, for [`RunKind::Request`].
    pub request: Option<RequestOrigin>,
}

impl NewRun {
    /// The idempotency key of a request that has one.
    #[must_use]
    pub fn idempotency_key(&self) -> Option<&str> {
        self.request.as_ref()?.idempotency_key.as_deref()
    }
}

/// The HTTP request that started a run, as the ledger records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestOrigin {
    /// The request id, which the logs contain too.
    pub id: String,
    /// The address of the client.
    pub client_address: String,
    /// A second unique key besides [`NewRun::key`]: the client's Idempotency-Key, which stays the same when the client
    /// repeats the request with a new signature. At most 128 characters.
    pub idempotency_key: Option<String>,
}

/// Exact counts of numbers. In sweeps and requests, `matched` is `deleted` plus the total of `barred`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Numbers that match every filter.
    pub matched: i64,
    /// Numbers removed from `call_data`.
    pub deleted: i64,
    /// Removed numbers that were archived in `call_data_history`.
    pub archived: i64,
    /// Matching numbers that a rule barred from removal.
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

/// A run, as read from the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the members are the columns of purge_run, described in its migration")]
pub struct Run {
    pub id: i64,
    pub kind: RunKind,
    pub policy: Option<String>,
    pub actor: String,
    /// `None`: campaigns of several VDNs, or a prune, which covers all.
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
    /// How it ended. `None`: it has not ended, or an earlier version of Callsweep did not record it.
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

/// The result of a sweep in one of its campaigns, as read from the ledger.
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

/// Serializes the column's text. `Walk` itself serializes as the longer text of sweep reports.
#[allow(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "the form that serde wants")]
fn walk_column<S: serde::Serializer>(walk: &Option<Walk>, serializer: S) -> Result<S::Ok, S::Error> {
    walk.map(Walk::as_str).serialize(serializer)
}

/// The criteria of a restore, as JSON in the ledger.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreCriteria {
    /// The run whose numbers are restored.
    pub restored_run: i64,
}
