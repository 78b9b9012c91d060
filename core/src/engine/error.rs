//! The engine's errors. Their texts name the value, the rule and the remedy.

use std::fmt;

use serde::Serialize;

use crate::model::campaign::{CampaignId, VdnId};
use crate::model::invalid::InvalidParameter;
use crate::model::outcome_code::OutcomeCode;
use crate::model::result_code::ResultCode;
use crate::store::db::StoreError;

/// Numbers that cannot be restored because `call_data` has another number with the same key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Clashes {
    /// How many there are.
    pub count: i64,
    /// The first twenty of them: (campaign id, number id).
    pub first: Vec<(i64, i64)>,
}

/// Example: "2 number(s) have a key that call_data already has (campaign/id: 1/7, 1/9)"
impl fmt::Display for Clashes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first: Vec<String> = self.first.iter().map(|(campaign, id)| format!("{campaign}/{id}")).collect();
        let more = if self.count > i64::try_from(first.len()).unwrap_or(0) { ", …" } else { "" };
        write!(
            f,
            "{} number(s) have a key that call_data already has (campaign/id: {}{more})",
            self.count,
            first.join(", ")
        )
    }
}

/// Why a run could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A parameter is not allowed.
    #[error(transparent)]
    InvalidParameter(#[from] InvalidParameter),
    /// No such campaign in this VDN.
    #[error("campaign {campaign} does not exist in VDN {vdn}")]
    NoSuchCampaign {
        /// The VDN that was asked for.
        vdn: VdnId,
        /// The campaign that was asked for.
        campaign: CampaignId,
    },
    /// The campaign is executing, and the rules bar all its numbers (contract, section 3).
    #[error("the campaign is executing (rules.ongoing_task = \"campaign\")")]
    CampaignExecuting,
    /// A bound of the run is exceeded.
    #[error("{0}")]
    Bound(crate::model::bounds::Exceeded),
    /// Another run has the lease of the campaign.
    #[error(
        "campaign {campaign} is locked by run {run_id} of {actor} ({owner}), whose last heartbeat was at {heartbeat_at} UTC"
    )]
    Locked {
        /// The campaign.
        campaign: CampaignId,
        /// The run that has its lease.
        run_id: i64,
        /// Who started that run.
        actor: String,
        /// The process that works on it.
        owner: String,
        /// The last heartbeat of that process.
        heartbeat_at: chrono::NaiveDateTime,
    },
    /// Another run has the same key, so this operation has been executed or is being executed.
    #[error("another run has the key {0:?}")]
    KeyTaken(String),
    /// The run does not exist or cannot be resumed.
    #[error("run {run_id} cannot be resumed: {reason}")]
    NotResumable {
        /// The run.
        run_id: i64,
        /// Why.
        reason: String,
    },
    /// The run does not exist or has no numbers to restore.
    #[error("run {run_id} cannot be restored: {reason}")]
    NotRestorable {
        /// The run.
        run_id: i64,
        /// Why.
        reason: String,
    },
    /// The restore would return numbers to an executing campaign.
    #[error(
        "campaign {0} is executing (rules.ongoing_task = \"campaign\"): its dialler would call the numbers that return. \
        Suspend it, or give --into-executing"
    )]
    IntoExecuting(CampaignId),
    /// `call_data` already has numbers with the keys of those to restore.
    #[error("{0}. Nothing overwrites a number: remove those in call_data first, or leave the run in history")]
    Clash(Clashes),
    /// Campaigns of a run failed.
    #[error("{} failed: {}", if *.all { "all campaigns".to_owned() } else { format!("{} campaign(s)", .failed.len()) },
        .failed.iter().map(|(campaign, why)| format!("campaign {campaign}: {why}")).collect::<Vec<_>>().join("; "))]
    Campaigns {
        /// Which, and why.
        failed: Vec<(CampaignId, String)>,
        /// Whether all campaigns of the run failed.
        all: bool,
    },
    /// An error of the database or of the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Error {
    /// The error for a campaign whose lease `holder` has.
    pub(crate) fn locked(campaign: CampaignId, holder: crate::model::run::Run) -> Self {
        Self::Locked {
            campaign,
            run_id: holder.id,
            actor: holder.actor,
            owner: holder.owner,
            heartbeat_at: holder.heartbeat_at,
        }
    }
}

/// The code that the endpoint answers with (contract, section 2).
impl From<&Error> for ResultCode {
    fn from(error: &Error) -> Self {
        match error {
            Error::InvalidParameter(invalid) => invalid.into(),
            Error::NoSuchCampaign { .. } => Self::NoSuchCampaign,
            Error::CampaignExecuting => Self::StateForbids,
            Error::Bound(_) | Error::KeyTaken(_) | Error::NotResumable { .. } => Self::ParameterError,
            Error::NotRestorable { .. } => Self::ParameterError,
            Error::Locked { .. } | Error::IntoExecuting(_) | Error::Clash(_) => Self::StateForbids,
            Error::Campaigns { .. } | Error::Store(_) => Self::DatabaseError,
        }
    }
}

impl From<&Error> for OutcomeCode {
    fn from(error: &Error) -> Self {
        match error {
            Error::InvalidParameter(_) => Self::InvalidParameter,
            Error::NoSuchCampaign { .. } => Self::NoSuchCampaign,
            Error::CampaignExecuting | Error::IntoExecuting(_) => Self::CampaignExecuting,
            Error::Bound(_) => Self::BoundExceeded,
            Error::Locked { .. } => Self::CampaignLocked,
            Error::KeyTaken(_) => Self::KeyTaken,
            Error::NotResumable { .. } | Error::NotRestorable { .. } => Self::NotPossible,
            Error::Clash(_) => Self::Clash,
            Error::Campaigns { .. } => Self::CampaignsFailed,
            Error::Store(StoreError::HistoryDrift(_)) => Self::HistoryDrift,
            Error::Store(StoreError::UnsafeTable(_)) => Self::UnsafeTable,
            Error::Store(_) => Self::Database,
        }
    }
}
