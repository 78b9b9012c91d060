//! How a run ended, as a code: what decisions read instead of the texts for people.

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use serde::Serialize;

use crate::model::column::text_column;
use crate::model::stop_reason::StopReason;

/// How a run ended, or one of its campaigns: the column `outcome_code`. The state says whether it was stopped, refused or
/// failed; the code says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeCode {
    /// All that matched has been looked at.
    Succeeded,
    /// A person stopped it, at the terminal or by a signal.
    Person,
    /// Somebody cancelled it through the ledger.
    Cancelled,
    /// The stop file is there.
    StopFile,
    /// It took as long as it may.
    MaxDuration,
    /// Its time was over while a throttle held it.
    Throttle,
    /// As many numbers are gone as may go.
    MaxRows,
    /// The campaign is executing.
    CampaignExecuting,
    /// There is no such campaign.
    NoSuchCampaign,
    /// A parameter is not allowed.
    InvalidParameter,
    /// A bound would be exceeded.
    BoundExceeded,
    /// Another sweep is at work on the campaign.
    CampaignLocked,
    /// Another run has the key.
    KeyTaken,
    /// The history table cannot hold what `call_data` holds.
    HistoryDrift,
    /// A table cannot roll back, or loses what was committed.
    UnsafeTable,
    /// It cannot be resumed or restored.
    NotPossible,
    /// Keys are taken where numbers should return.
    Clash,
    /// Some of its campaigns failed.
    CampaignsFailed,
    /// The database failed, refused or did not answer.
    Database,
    /// Its process died or stopped reporting.
    ProcessDied,
}

text_column!(OutcomeCode {
    Succeeded = "succeeded",
    Person = "person",
    Cancelled = "cancelled",
    StopFile = "stop_file",
    MaxDuration = "max_duration",
    Throttle = "throttle",
    MaxRows = "max_rows",
    CampaignExecuting = "campaign_executing",
    NoSuchCampaign = "no_such_campaign",
    InvalidParameter = "invalid_parameter",
    BoundExceeded = "bound_exceeded",
    CampaignLocked = "campaign_locked",
    KeyTaken = "key_taken",
    HistoryDrift = "history_drift",
    UnsafeTable = "unsafe_table",
    NotPossible = "not_possible",
    Clash = "clash",
    CampaignsFailed = "campaigns_failed",
    Database = "database",
    ProcessDied = "process_died",
});

impl From<&StopReason> for OutcomeCode {
    fn from(reason: &StopReason) -> Self {
        match reason {
            StopReason::Person => Self::Person,
            StopReason::Cancelled { .. } => Self::Cancelled,
            StopReason::StopFile(_) => Self::StopFile,
            StopReason::MaxDuration(_) => Self::MaxDuration,
            StopReason::Throttle { .. } => Self::Throttle,
            StopReason::MaxRows(_) => Self::MaxRows,
            StopReason::CampaignExecuting => Self::CampaignExecuting,
        }
    }
}
