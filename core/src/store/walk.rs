//! The choice of a way through a campaign: which index leads.

use std::fmt;

use diesel::prelude::*;
use diesel::sql_types::BigInt;
use serde::Serialize;

use super::statement::Statement;
use super::window::Position;
use super::{AnyConnection, StoreError, predicate};
use crate::campaign::CampaignId;
use crate::criteria::Criteria;

/// Which index leads through the campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Walk {
    /// Windows over (campaign_id, id): for recycle filters that match much of the campaign.
    PrimaryKey,
    /// The numbers of one sessionId.
    SessionId,
    /// The numbers of one called number.
    Called,
    /// The numbers of one customField.
    CustomField,
    /// (campaign_id, recycle_time, id): for recycle filters that match little of the campaign.
    RecycleTime,
}

impl Walk {
    const ALL: [Self; 5] = [Self::PrimaryKey, Self::SessionId, Self::Called, Self::CustomField, Self::RecycleTime];

    /// The column `purge_run_campaign.walk`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PrimaryKey => "primary_key",
            Self::SessionId => "session_id",
            Self::Called => "called",
            Self::CustomField => "custom_field",
            Self::RecycleTime => "recycle_time",
        }
    }

    /// The walk of criteria that ask for one value: by the index of that value, the same each time.
    pub(crate) fn of_value(criteria: &Criteria) -> Option<Self> {
        if criteria.session_id().is_some() {
            Some(Self::SessionId)
        } else if criteria.called().is_some() {
            Some(Self::Called)
        } else {
            criteria.custom_field().map(|_| Self::CustomField)
        }
    }

    /// The walk that a cursor was made on.
    pub(crate) fn of_cursor(cursor: &Position) -> Self {
        match cursor {
            Position::Id(_) => Self::PrimaryKey,
            Position::RecycleTime(..) => Self::RecycleTime,
        }
    }

    /// The column `purge_run_campaign.walk`. `None` when another version of Callsweep wrote it.
    #[must_use]
    pub fn from_column(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|walk| walk.as_str() == text)
    }
}

impl fmt::Display for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PrimaryKey => "primary key windows",
            Self::SessionId => "session_id index",
            Self::Called => "called index",
            Self::CustomField => "custom_field index",
            Self::RecycleTime => "recycle_time index",
        })
    }
}

impl Serialize for Walk {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A window over the primary key looks at this many rows at most for each that a chunk may hold. Where less than
/// one row in this many matches, the recycle_time index leads instead.
pub(super) const SCAN_FACTOR: i64 = 20;

/// Fewer matches than this are not worth an estimate: the recycle_time index serves them in no time.
const FEW: i64 = 20_000;

/// Matches are counted up to this many for the estimate: some 20 ms.
const MANY: i64 = 200_000;

/// Chooses the walk. A filter on one value leads by its own index; a recycle filter by the share that it matches.
pub(crate) fn choose(conn: &mut AnyConnection, campaign: CampaignId, criteria: &Criteria) -> Result<Walk, StoreError> {
    if let Some(walk) = Walk::of_value(criteria) {
        return Ok(walk);
    }
    let all = Statement::new("SELECT id FROM call_data WHERE campaign_id = ").big_int(campaign.get());
    let backend = conn.backend();
    let matches = count(conn, predicate::criteria(all.clone(), criteria, backend), MANY)?;
    if matches < FEW {
        return Ok(Walk::RecycleTime);
    }
    if matches == MANY {
        return Ok(Walk::PrimaryKey);
    }
    let sparse = count(conn, all, matches * SCAN_FACTOR)? == matches * SCAN_FACTOR;
    Ok(if sparse { Walk::RecycleTime } else { Walk::PrimaryKey })
}

/// Counts rows, up to a limit.
fn count(conn: &mut AnyConnection, rows: Statement, limit: i64) -> Result<i64, StoreError> {
    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        numbers: i64,
    }
    let counted: Vec<Count> = Statement::new("/* walk::count */ SELECT count(*) AS numbers FROM (")
        .append(rows)
        .sql(" LIMIT ")
        .big_int(limit)
        .sql(") counted")
        .load(conn)?;
    Ok(counted.first().map_or(0, |count| count.numbers))
}
