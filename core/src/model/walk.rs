//! Which index a run follows through a campaign.

use std::fmt;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::Text;
use serde::Serialize;

use crate::model::column::text_column_sql;
use crate::model::criteria::Criteria;
use crate::model::position::Position;

/// Which index leads through the campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, AsExpression, FromSqlRow)]
#[diesel(sql_type = Text)]
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
