//! Campaigns: lists of numbers that a VDN dials.

use std::fmt;

use diesel::deserialize::FromSqlRow;
use diesel::expression::AsExpression;
use diesel::sql_types::{BigInt, Integer};
use serde::{Deserialize, Serialize};

use crate::model::column::number_column;
use crate::model::invalid::{InvalidParameter, Problem};

/// A VDN ("virtual directory number"): the tenant that a campaign belongs to. 1 to 9999 (vendor's page, table 1).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, AsExpression, FromSqlRow,
)]
#[serde(try_from = "i64", into = "i64")]
#[diesel(sql_type = Integer)]
pub struct VdnId(i32);

impl VdnId {
    /// The largest VDN (vendor's page, table 1).
    pub const MAX: i32 = 9999;

    /// The number, as the tables store it.
    #[must_use]
    pub fn get(self) -> i32 {
        self.0
    }

    /// Reads the decimal digits of a path segment or a flag. Leading zeros are allowed (contract, section 2).
    ///
    /// # Errors
    /// 02000006 when it is no integer, 02000007 outside 1–9999.
    pub fn parse(text: &str) -> Result<Self, InvalidParameter> {
        parse_integer("vdnId", text, "an integer from 1 to 9999")?.try_into()
    }
}

impl TryFrom<i64> for VdnId {
    type Error = InvalidParameter;

    fn try_from(number: i64) -> Result<Self, InvalidParameter> {
        match i32::try_from(number) {
            Ok(vdn @ 1..=Self::MAX) => Ok(Self(vdn)),
            _ => Err(InvalidParameter::new("vdnId", Problem::Value("an integer from 1 to 9999"))),
        }
    }
}

number_column!(VdnId, Integer, i32);
number_column!(CampaignId, BigInt, i64);

impl From<VdnId> for i64 {
    fn from(vdn: VdnId) -> Self {
        Self::from(vdn.0)
    }
}

/// The id of a campaign: 1 or above, 64 bits.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, AsExpression, FromSqlRow,
)]
#[serde(try_from = "i64", into = "i64")]
#[diesel(sql_type = BigInt)]
pub struct CampaignId(i64);

impl CampaignId {
    /// The number, as the tables store it.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }

    /// Reads the decimal digits of a path segment or a flag. Leading zeros are allowed (contract, section 2).
    ///
    /// # Errors
    /// 02000006 when it is no integer, 02000007 below 1 or above 64 bits.
    pub fn parse(text: &str) -> Result<Self, InvalidParameter> {
        parse_integer("campaignId", text, "an integer from 1 to 9223372036854775807")?.try_into()
    }
}

impl TryFrom<i64> for CampaignId {
    type Error = InvalidParameter;

    fn try_from(number: i64) -> Result<Self, InvalidParameter> {
        if number < 1 {
            let problem = Problem::Value("an integer from 1 to 9223372036854775807");
            return Err(InvalidParameter::new("campaignId", problem));
        }
        Ok(Self(number))
    }
}

impl From<CampaignId> for i64 {
    fn from(campaign: CampaignId) -> Self {
        campaign.0
    }
}

macro_rules! display_as_number {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl std::str::FromStr for $name {
            type Err = InvalidParameter;
            fn from_str(text: &str) -> Result<Self, InvalidParameter> {
                Self::parse(text)
            }
        }
    )*};
}
display_as_number!(VdnId, CampaignId);

/// Parses an integer as the contract defines it: decimal digits. A leading minus is accepted, so that a negative number is
/// reported as out of range and not as a wrong type.
fn parse_integer(name: &'static str, text: &str, allowed: &'static str) -> Result<i64, InvalidParameter> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(InvalidParameter::new(name, Problem::Type(allowed)));
    }
    // Only digits: parsing fails only if the number does not fit into 64 bits.
    text.parse().map_err(|_| InvalidParameter::new(name, Problem::Value(allowed)))
}

/// What a campaign is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CampaignStatus {
    /// Created, never started.
    Draft,
    /// Dialling now.
    Executing,
    /// Started and suspended.
    Suspended,
    /// Completed.
    Completed,
    /// A value that Callsweep does not know. It is treated as executing, the state that bars the most numbers.
    Unknown(i16),
}

impl CampaignStatus {
    /// The column `campaign.status`.
    #[must_use]
    pub fn from_column(status: i16) -> Self {
        match status {
            1 => Self::Draft,
            2 => Self::Executing,
            3 => Self::Suspended,
            4 => Self::Completed,
            other => Self::Unknown(other),
        }
    }

    /// The column `campaign.status`.
    #[must_use]
    pub fn to_column(self) -> i16 {
        match self {
            Self::Draft => 1,
            Self::Executing => 2,
            Self::Suspended => 3,
            Self::Completed => 4,
            Self::Unknown(other) => other,
        }
    }

    /// Whether the campaign counts as an ongoing task.
    #[must_use]
    pub fn is_executing(self) -> bool {
        matches!(self, Self::Executing | Self::Unknown(_))
    }
}

/// A campaign, as stored in the table `campaign`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Campaign {
    /// Its id.
    pub id: CampaignId,
    /// The VDN it belongs to.
    pub vdn_id: VdnId,
    /// Its display name.
    pub name: String,
    /// What it is doing.
    pub status: CampaignStatus,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_numbers_follow_the_contract() {
        assert_eq!(VdnId::parse("0009999").unwrap().get(), 9999);
        assert_eq!(CampaignId::parse("9223372036854775807").unwrap().get(), i64::MAX);
        for text in ["", "-", "a", "1a", "+1", " 1", "1.0", "--1", "１"] {
            let error = VdnId::parse(text).unwrap_err();
            assert!(matches!(error.problem, Problem::Type(_)), "{text:?}: {error}");
        }
        for text in ["0", "-1", "10000", "99999999999999999999", "-99999999999999999999"] {
            let error = VdnId::parse(text).unwrap_err();
            assert!(matches!(error.problem, Problem::Value(_)), "{text:?}: {error}");
        }
        assert!(matches!(CampaignId::parse("9223372036854775808").unwrap_err().problem, Problem::Value(_)));
    }
}
