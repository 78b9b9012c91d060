//! Limits on how much a run may remove. They are checked before the first row; a run that exceeds one removes nothing.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::campaign::CampaignId;

/// The bounds of a run. A missing bound does not limit it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Bounds {
    /// The most numbers that the run may remove, from all campaigns together.
    pub max_rows: Option<i64>,
    /// The largest share of each campaign that the run may remove, in percent.
    pub max_percent: Option<f64>,
    /// How many numbers the caller expects the run to remove, with a tolerance.
    pub expect: Option<Expected>,
}

/// The number of rows that the caller expects a run to remove.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Expected {
    /// The rows.
    pub rows: i64,
    /// How far the preview may deviate from `rows`, in percent of `rows`.
    pub tolerance_percent: f64,
}

/// What a run would remove from a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CampaignRemoval {
    /// The campaign.
    pub campaign_id: CampaignId,
    /// Numbers that the run would remove.
    pub removable: i64,
    /// All numbers of the campaign. `None` if they were not counted: only `max_percent` needs them.
    pub total: Option<i64>,
}

impl CampaignRemoval {
    /// The share of the campaign that would be removed, in percent. `None` if its numbers were not counted.
    #[allow(clippy::cast_precision_loss, reason = "a share in percent")]
    fn percent(&self) -> Option<f64> {
        // The campaign may have gained matching numbers since it was counted.
        let total = self.total?.max(self.removable);
        Some(if self.removable == 0 { 0.0 } else { self.removable as f64 * 100.0 / total as f64 })
    }
}

/// A bound that a run would exceed.
#[derive(Debug, Clone, PartialEq)]
pub enum Exceeded {
    /// `max_rows`
    MaxRows {
        /// The bound.
        max: i64,
        /// What the run would remove.
        rows: i64,
    },
    /// `max_percent`
    MaxPercent {
        /// The bound.
        max: f64,
        /// The first campaign that is over it.
        campaign_id: CampaignId,
        /// What the run would remove from it.
        removable: i64,
        /// All numbers of the campaign.
        total: i64,
        /// The share, in percent.
        percent: f64,
    },
    /// `expect`
    Expect {
        /// The bound.
        expected: Expected,
        /// What the run would remove.
        rows: i64,
    },
}

impl Bounds {
    /// Whether there is any bound.
    #[must_use]
    pub fn any(&self) -> bool {
        *self != Self::default()
    }

    /// Checks the bounds against the counts of a preview.
    ///
    /// # Errors
    /// The first bound that is exceeded.
    pub fn check(&self, removals: &[CampaignRemoval]) -> Result<(), Exceeded> {
        let rows = removals.iter().map(|removal| removal.removable).sum();
        if let Some(max) = self.max_rows.filter(|max| rows > *max) {
            return Err(Exceeded::MaxRows { max, rows });
        }
        if let Some(max) = self.max_percent {
            for removal in removals {
                let CampaignRemoval { campaign_id, removable, total } = *removal;
                if let (Some(total), Some(percent)) = (total, removal.percent().filter(|percent| *percent > max)) {
                    return Err(Exceeded::MaxPercent { max, campaign_id, removable, total, percent });
                }
            }
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

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxRows { max, rows } => {
                write!(f, "{rows} numbers would go, {} more than max_rows = {max}", rows - max)
            }
            Self::MaxPercent { max, campaign_id, removable, total, percent } => write!(
                f,
                "{removable} of {total} numbers of campaign {campaign_id} would go: {percent:.1} percent, more than \
                 max_percent = {max}"
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

    fn counted(id: i64, removable: i64, total: i64) -> CampaignRemoval {
        CampaignRemoval { campaign_id: CampaignId::try_from(id).unwrap(), removable, total: Some(total) }
    }

    fn uncounted(id: i64, removable: i64) -> CampaignRemoval {
        CampaignRemoval { campaign_id: CampaignId::try_from(id).unwrap(), removable, total: None }
    }

    #[test]
    fn at_the_bound_is_within() {
        let rows = Bounds { max_rows: Some(10), ..Bounds::default() };
        assert_eq!(rows.check(&[uncounted(1, 6), uncounted(2, 4)]), Ok(()));
        assert_eq!(rows.check(&[uncounted(1, 6), uncounted(2, 5)]), Err(Exceeded::MaxRows { max: 10, rows: 11 }));
        let percent = Bounds { max_percent: Some(20.0), ..Bounds::default() };
        assert_eq!(percent.check(&[counted(1, 20, 100), counted(2, 0, 0)]), Ok(()));
        let over = percent.check(&[counted(1, 1, 100), counted(2, 21, 100)]).unwrap_err();
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
        assert_eq!(expect(100, 5.0).check(&[uncounted(1, 95)]), Ok(()));
        assert_eq!(expect(100, 5.0).check(&[uncounted(1, 105)]), Ok(()));
        assert!(expect(100, 5.0).check(&[uncounted(1, 94)]).is_err());
        assert!(
            expect(100, 0.0).check(&[uncounted(1, 101)]).unwrap_err().to_string().contains("1 away from expect = 100")
        );
        assert!(expect(0, 5.0).check(&[uncounted(1, 1)]).is_err());
    }
}
