//! A run: one removal from one campaign, as the ledger (`purge_run`) accounts for it.

use std::fmt;

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

use crate::campaign::{CampaignId, VdnId};
use crate::criteria::Criteria;
use crate::rules::Barred;

/// Who asked for a run, by which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunKind {
    /// A call of the endpoint.
    Request,
    /// A scheduled sweep.
    Policy,
    /// A sweep by hand.
    Manual,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Chunks are being removed.
    Running,
    /// All that matched has been looked at; what was not barred is gone.
    Succeeded,
    /// Ended between two chunks because somebody or a bound said so; `stop_reason` says which.
    Stopped,
    /// Ended before the first row because the rules or a bound forbid it; `stop_reason` says which.
    Refused,
    /// Ended by an error; `error` says which. What was committed by then is counted.
    Failed,
}

macro_rules! column_text {
    ($type:ident { $($variant:ident = $text:literal),* $(,)? }) => {
        impl $type {
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
column_text!(RunKind { Request = "request", Policy = "policy", Manual = "manual" });
column_text!(RunState {
    Running = "running",
    Succeeded = "succeeded",
    Stopped = "stopped",
    Refused = "refused",
    Failed = "failed",
});

/// What is to be removed, from where, and for whom: everything about a run that is known before it begins.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// By which way it came.
    pub kind: RunKind,
    /// The name of the policy, for [`RunKind::Policy`].
    pub policy: Option<String>,
    /// Who asked: an access key, or the person at the command line.
    pub actor: String,
    /// The VDN.
    pub vdn_id: VdnId,
    /// The campaign.
    pub campaign_id: CampaignId,
    /// Which of its numbers.
    pub criteria: Criteria,
    /// Whether they move to the history table; otherwise they are deleted outright.
    pub archive_history: bool,
    /// The call that it answers, for [`RunKind::Request`].
    pub request: Option<RequestOrigin>,
}

/// Where a request came from, as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestOrigin {
    /// What makes a repeated request the same one; unique in the ledger. `None`: every request is a new one.
    pub key: Option<String>,
    /// The id by which logs know it.
    pub id: String,
    /// The address of the client.
    pub client_address: String,
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
#[allow(missing_docs, reason = "the members are the columns of purge_run, described in docs/architecture")]
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
    pub matched: i64,
    pub deleted: i64,
    pub archived: i64,
    pub barred: i64,
    pub barred_by_reason: Barred,
    pub chunks: i64,
    pub cursor: Option<String>,
    pub started_at: NaiveDateTime,
    pub heartbeat_at: NaiveDateTime,
    pub finished_at: Option<NaiveDateTime>,
    pub stop_reason: Option<String>,
    pub error: Option<String>,
    pub request_key: Option<String>,
    pub result_code: Option<String>,
    pub request_id: Option<String>,
    pub client_address: Option<String>,
    pub owner: String,
    pub throttled_by: Option<String>,
    pub restored: i64,
    pub pruned: i64,
}
