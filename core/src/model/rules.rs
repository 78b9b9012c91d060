//! The rules that bar numbers from removal (contract, section 3). Every path that removes numbers applies them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::campaign::CampaignStatus;
use crate::model::number::NumberStatus;

/// The interpretation of the third restriction of the vendor's page: the setting `rules.ongoing_task`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OngoingTask {
    /// Every number of an executing campaign is barred, and so is one that the dialler has loaded.
    #[default]
    Campaign,
    /// Only a number that the dialler has loaded is barred.
    Number,
}

impl OngoingTask {
    /// Whether all numbers of a campaign in this state are barred.
    #[must_use]
    pub fn bars_campaign(self, status: CampaignStatus) -> bool {
        self == Self::Campaign && status.is_executing()
    }
}

/// The only status of a number that no rule bars.
pub const REMOVABLE: NumberStatus = NumberStatus::Waiting;

/// How many numbers the rules barred from removal, by reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Barred {
    /// Their call is ongoing.
    pub call_ongoing: i64,
    /// Their call is completed: finally failed or succeeded.
    pub call_completed: i64,
    /// They are in an ongoing task: loaded by the dialler, or in an executing campaign.
    pub ongoing_task: i64,
    /// Callsweep does not know their status. It never removes such numbers.
    pub unknown_status: i64,
}

impl Barred {
    /// Adds numbers of one status. Numbers with the status [`REMOVABLE`] count as in an ongoing task: they are barred only
    /// if their campaign is executing.
    pub fn add(&mut self, status: i16, numbers: i64) {
        let reason = match status {
            0 | 1 => &mut self.ongoing_task,
            2 => &mut self.call_ongoing,
            5 | 6 => &mut self.call_completed,
            _ => &mut self.unknown_status,
        };
        *reason += numbers;
    }

    /// All reasons together.
    #[must_use]
    pub fn total(self) -> i64 {
        self.call_ongoing + self.call_completed + self.ongoing_task + self.unknown_status
    }

    /// The reasons as text, with their counts.
    #[must_use]
    pub fn reasons(self) -> [(&'static str, i64); 4] {
        [
            ("call ongoing", self.call_ongoing),
            ("call completed", self.call_completed),
            ("in an ongoing task", self.ongoing_task),
            ("status unknown", self.unknown_status),
        ]
    }
}

impl std::ops::AddAssign for Barred {
    fn add_assign(&mut self, other: Self) {
        self.call_ongoing += other.call_ongoing;
        self.call_completed += other.call_completed;
        self.ongoing_task += other.ongoing_task;
        self.unknown_status += other.unknown_status;
    }
}

/// Example: "3 stayed: 2 call ongoing, 1 call completed"
impl fmt::Display for Barred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} stayed", self.total())?;
        let mut separator = ": ";
        for (reason, numbers) in self.reasons().into_iter().filter(|(_, numbers)| *numbers > 0) {
            write!(f, "{separator}{numbers} {reason}")?;
            separator = ", ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_reasons_that_there_are() {
        let mut barred = Barred::default();
        for (status, numbers) in [(1, 4), (2, 1), (5, 2), (6, 3), (77, 9)] {
            barred.add(status, numbers);
        }
        assert_eq!(
            barred.to_string(),
            "19 stayed: 1 call ongoing, 5 call completed, 4 in an ongoing task, 9 status unknown"
        );
        assert_eq!(Barred::default().to_string(), "0 stayed");
    }
}
