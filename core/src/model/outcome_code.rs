//! The code of a run's outcome. Programs decide by the code; the texts are for people.

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use serde::Serialize;

use crate::model::column::text_column;
use crate::model::stop_reason::StopReason;

/// How a run or one of its campaigns ended: the column `outcome_code`. The state tells whether it was stopped, refused or
/// failed, the code tells why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeCode {
    /// All matching numbers were processed.
    Succeeded,
    /// An operator stopped it at the terminal or by a signal.
    Person,
    /// An operator cancelled it with a command.
    Cancelled,
    /// The stop file exists.
    StopFile,
    /// Its maximum duration was reached.
    MaxDuration,
    /// Its maximum duration was reached while a throttle held it.
    Throttle,
    /// `max_rows` was reached.
    MaxRows,
    /// The campaign is executing.
    CampaignExecuting,
    /// The campaign does not exist.
    NoSuchCampaign,
    /// A parameter is not allowed.
    InvalidParameter,
    /// A bound would be exceeded.
    BoundExceeded,
    /// Another run has the campaign's lease.
    CampaignLocked,
    /// Another run has the key.
    KeyTaken,
    /// The history table cannot store all columns of `call_data`.
    HistoryDrift,
    /// A table cannot roll back, or does not survive a crash.
    UnsafeTable,
    /// It cannot be resumed or restored.
    NotPossible,
    /// `call_data` already has numbers with the keys of those to restore.
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
