//! A run: one removal, from one campaign or several, as the ledger (`purge_run`) accounts for it.

use std::fmt;

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

use crate::model::bounds::Bounds;
use crate::model::campaign::{CampaignId, VdnId};
use crate::model::criteria::Criteria;
use crate::model::rules::Barred;

/// Who asked for a run, by which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

macro_rules! column_text {
    ($type:ident { $($variant:ident = $text:literal),* $(,)? }) => {
        impl $type {
            /// Every one of them.
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$variant),*];

            /// The text in the ledger's column.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Reads the ledger's column. `None` when another version of Callsweep wrote it.
            #[must_use]
            pub fn from_column(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
column_text!(RunKind {
    Request = "request",
    Policy = "policy",
    Manual = "manual",
    Restore = "restore",
    Prune = "prune",
});
column_text!(RunState {
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
    pub kind: String,
    pub policy: Option<String>,
    pub actor: String,
    pub vdn_id: i32,
    pub campaign_id: Option<i64>,
    pub criteria: serde_json::Value,
    pub archive_history: bool,
    pub state: String,
    #[serde(flatten)]
    pub counts: Counts,
    pub chunks: i64,
    pub cursor: Option<String>,
    pub started_at: NaiveDateTime,
    pub heartbeat_at: NaiveDateTime,
    pub finished_at: Option<NaiveDateTime>,
    pub stop_reason: Option<String>,
    pub error: Option<String>,
    pub throttled_by: Option<String>,
    pub request_key: Option<String>,
    pub idempotency_key: Option<String>,
    pub result_code: Option<String>,
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
    pub campaign_id: i64,
    pub vdn_id: i32,
    pub state: String,
    pub walk: Option<String>,
    #[serde(flatten)]
    pub counts: Counts,
    pub chunks: i64,
    pub retries: i64,
    pub sql_ms: i64,
    pub throttled_ms: i64,
    pub slowest_chunk_ms: i64,
    pub cursor: Option<String>,
    pub stop_reason: Option<String>,
    pub error: Option<String>,
}
