//! The index that a run scans to find a campaign's numbers.

use std::fmt;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use serde::Serialize;

use crate::model::column::text_column_sql;
use crate::model::criteria::Criteria;
use crate::model::position::Position;

/// The index that a run scans.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
pub enum Walk {
    /// The primary key (campaign_id, id): for recycle filters that match a large part of the campaign.
    PrimaryKey,
    /// The numbers of one sessionId.
    SessionId,
    /// The numbers of one called number.
    Called,
    /// The numbers of one customField.
    CustomField,
    /// The index (campaign_id, recycle_time, id): for recycle filters that match a small part of the campaign.
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

    /// The index for criteria with one exact value. It is always the same for the same criteria.
    pub(crate) fn of_value(criteria: &Criteria) -> Option<Self> {
        if criteria.session_id().is_some() {
            Some(Self::SessionId)
        } else if criteria.called().is_some() {
            Some(Self::Called)
        } else {
            criteria.custom_field().map(|_| Self::CustomField)
        }
    }

    /// The index that a cursor was made on.
    pub(crate) fn of_cursor(cursor: &Position) -> Self {
        match cursor {
            Position::Id(_) => Self::PrimaryKey,
            Position::RecycleTime(..) => Self::RecycleTime,
        }
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

text_column_sql!(Walk);
