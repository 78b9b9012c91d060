//! How much a run may remove. It is checked before the first row; a run that is over removes nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::campaign::CampaignId;

/// The bounds of a run; those that are not given do not hold it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// Numbers that may go, from all campaigns together.
    pub max_rows: Option<i64>,
    /// The share of each campaign that may go, in percent.
    pub max_percent: Option<f64>,
    /// How many numbers should go, and how far the preview may be away from that.
    pub expect: Option<Expected>,
}

/// A number of rows that somebody expects to go.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// The rows.
    pub rows: i64,
    /// How far the preview may be away from it, in percent of it.
    pub tolerance_percent: f64,
}

/// What a run would take from a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// The campaign.
    pub campaign_id: CampaignId,
    /// Numbers that would go.
    pub removable: i64,
    /// All its numbers. Only asked for where `max_percent` is given.
    pub all: i64,
}

/// A bound that a run is over, and by how much.
#[derive(Debug, Clone, PartialEq)]
pub enum Exceeded {
    /// `max_rows`
    MaxRows {
        /// The bound.
        max: i64,
        /// What would go.
        rows: i64,
    },
    /// `max_percent`
    MaxPercent {
        /// The bound.
        max: f64,
        /// What would go.
        share: Share,
    },
    /// `expect`
    Expect {
        /// The bound.
        expected: Expected,
        /// What would go.
        rows: i64,
    },
}

impl Bounds {
    /// Whether there is any bound.
    #[must_use]
    pub fn any(&self) -> bool {
        *self != Self::default()
    }

    /// Compares with what a preview found.
    ///
    /// # Errors
    /// The first bound that is exceeded.
    pub fn check(&self, shares: &[Share]) -> Result<(), Exceeded> {
        let rows = shares.iter().map(|share| share.removable).sum();
        if let Some(max) = self.max_rows.filter(|max| rows > *max) {
            return Err(Exceeded::MaxRows { max, rows });
        }
        if let Some(max) = self.max_percent
            && let Some(share) = shares.iter().find(|share| percent(share) > max)
        {
            return Err(Exceeded::MaxPercent { max, share: *share });
        }
        match self.expect {
            #[allow(clippy::cast_precision_loss, reason = "a tolerance in percent")]
            Some(expected)
                if (rows - expected.rows).abs() as f64 > expected.rows as f64 * expected.tolerance_percent / 100.0 =>
            {
                Err(Exceeded::Expect { expected, rows })
            }
            _ => Ok(()),
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "a share in percent")]
fn percent(share: &Share) -> f64 {
    if share.removable == 0 { 0.0 } else { share.removable as f64 * 100.0 / share.all.max(share.removable) as f64 }
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxRows { max, rows } => {
                write!(f, "{rows} numbers would go, {} more than max_rows = {max}", rows - max)
            }
            Self::MaxPercent { max, share } => write!(
                f,
                "{} of {} numbers of campaign {} would go: {:.1} percent, more than max_percent = {max}",
                share.removable,
                share.all,
                share.campaign_id,
                percent(share)
            ),
            Self::Expect { expected: Expected { rows: expected, tolerance_percent }, rows } => write!(
                f,
                "{rows} numbers would go, {} away from expect = {expected} (tolerance {tolerance_percent} percent)",
                (rows - expected).abs()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(id: i64, removable: i64, all: i64) -> Share {
        Share { campaign_id: CampaignId::try_from(id).unwrap(), removable, all }
    }

    #[test]
    fn at_the_bound_is_within() {
        let rows = Bounds { max_rows: Some(10), ..Bounds::default() };
        assert_eq!(rows.check(&[share(1, 6, 0), share(2, 4, 0)]), Ok(()));
        assert_eq!(rows.check(&[share(1, 6, 0), share(2, 5, 0)]), Err(Exceeded::MaxRows { max: 10, rows: 11 }));
        let percent = Bounds { max_percent: Some(20.0), ..Bounds::default() };
        assert_eq!(percent.check(&[share(1, 20, 100), share(2, 0, 0)]), Ok(()));
        let over = percent.check(&[share(1, 1, 100), share(2, 21, 100)]).unwrap_err();
        assert_eq!(
            over.to_string(),
            "21 of 100 numbers of campaign 2 would go: 21.0 percent, more than max_percent = 20"
        );
    }

    #[test]
    fn what_is_expected_has_a_tolerance_either_way() {
        let expect = |rows, tolerance_percent| Bounds {
            expect: Some(Expected { rows, tolerance_percent }),
            ..Bounds::default()
        };
        assert_eq!(expect(100, 5.0).check(&[share(1, 95, 0)]), Ok(()));
        assert_eq!(expect(100, 5.0).check(&[share(1, 105, 0)]), Ok(()));
        assert!(expect(100, 5.0).check(&[share(1, 94, 0)]).is_err());
        assert!(
            expect(100, 0.0).check(&[share(1, 101, 0)]).unwrap_err().to_string().contains("1 away from expect = 100")
        );
        assert!(expect(0, 5.0).check(&[share(1, 1, 0)]).is_err());
    }
}
