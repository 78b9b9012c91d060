//! What can go wrong, in words that name the value and the way out.

use std::borrow::Cow;

use crate::campaign::{CampaignId, VdnId};
use crate::store::StoreError;

/// A parameter that the contract does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {problem}")]
pub struct InvalidParameter {
    /// The parameter, by the name that the contract gives it.
    pub name: Cow<'static, str>,
    /// What is wrong with it.
    pub problem: Problem,
}

impl InvalidParameter {
    /// Names a parameter and what is wrong with it.
    pub fn new(name: impl Into<Cow<'static, str>>, problem: Problem) -> Self {
        Self { name: name.into(), problem }
    }
}

/// What can be wrong with a parameter. The texts complete "sessionId: …".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// An empty string, an empty body, or no filter.
    #[error("must not be empty")]
    Empty,
    /// Characters outside those allowed, a control character among them.
    #[error("has a character that is not allowed here")]
    Characters,
    /// Too many characters.
    #[error("is longer than {max_chars} characters")]
    TooLong {
        /// The most characters (Unicode code points) allowed.
        max_chars: usize,
    },
    /// Not of the type that the page gives.
    #[error("must be {0}")]
    Type(&'static str),
    /// Of the right type, outside what is allowed.
    #[error("must be {0}")]
    Value(&'static str),
    /// No real date and time.
    #[error("must be a real date and time in the form yyyy-mm-dd hh:mm:ss")]
    NotADateTime,
    /// Given without the parameter it goes with.
    #[error("must be given together with {0}")]
    Without(&'static str),
    /// A name that the page does not have.
    #[error("is not a parameter of this call")]
    Unknown,
    /// The same name twice.
    #[error("is given more than once")]
    Repeated,
    /// More members than the page has.
    #[error("has more than {max} parameters")]
    TooMany {
        /// The most members a body may have.
        max: usize,
    },
    /// No JSON text.
    #[error("is not valid JSON in UTF-8: {0}")]
    NotJson(String),
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
    Bound(crate::bounds::Exceeded),
    /// Another sweep is at work on the campaign.
    #[error(
        "campaign {campaign} is locked by run {run_id} of {actor} ({owner}), which last reported at {heartbeat_at} UTC"
    )]
    Locked {
        /// The campaign.
        campaign: CampaignId,
        /// The run that has its lease.
        run_id: i64,
        /// Who asked for that run.
        actor: String,
        /// The process that works on it.
        owner: String,
        /// When that process last said that it is alive.
        heartbeat_at: chrono::NaiveDateTime,
    },
    /// Another run has the key: what may happen once only has happened, or is happening.
    #[error("another run has the key {0:?}")]
    KeyTaken(String),
    /// The history table cannot take what `call_data` holds.
    #[error("call_data_history is not as call_data: {0}")]
    HistoryDrift(String),
    /// There is no such run, or it is not to be resumed.
    #[error("run {run_id} cannot be resumed: {reason}")]
    NotResumable {
        /// The run.
        run_id: i64,
        /// Why.
        reason: String,
    },
    /// There is no such run, or there is nothing of it to take back.
    #[error("run {run_id} cannot be restored: {reason}")]
    NotRestorable {
        /// The run.
        run_id: i64,
        /// Why.
        reason: String,
    },
    /// Numbers would return into an executing campaign.
    #[error(
        "campaign {0} is executing (rules.ongoing_task = \"campaign\"): its dialler would call the numbers that return. \
        Suspend it, or give --into-executing"
    )]
    IntoExecuting(CampaignId),
    /// Keys are taken where numbers should return.
    #[error("{0}. Nothing overwrites a number: remove those in call_data first, or leave the run in history")]
    Clash(crate::history::restore::Clashes),
    /// Campaigns of a run failed.
    #[error("{} failed: {}", if *.all { "all campaigns".to_owned() } else { format!("{} campaign(s)", .failed.len()) },
        .failed.iter().map(|(campaign, why)| format!("campaign {campaign}: {why}")).collect::<Vec<_>>().join("; "))]
    Campaigns {
        /// Which, and why.
        failed: Vec<(CampaignId, String)>,
        /// Whether no other campaign was done.
        all: bool,
    },
    /// The database failed, refused or did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Error {
    /// The campaign is locked by this run.
    pub(crate) fn locked(campaign: CampaignId, holder: crate::run::Run) -> Self {
        Self::Locked {
            campaign,
            run_id: holder.id,
            actor: holder.actor,
            owner: holder.owner,
            heartbeat_at: holder.heartbeat_at,
        }
    }
}
