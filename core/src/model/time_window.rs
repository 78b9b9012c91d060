//! Windows of the day in which sweeps may run.

use std::fmt;
use std::str::FromStr;

use chrono::NaiveTime;

/// From one time of day until another. If the second is earlier, the window spans midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeWindow {
    from: NaiveTime,
    until: NaiveTime,
}

impl TimeWindow {
    /// Whether a time of day is in the window. The end is exclusive.
    #[must_use]
    pub fn contains(self, time: NaiveTime) -> bool {
        if self.from < self.until {
            self.from <= time && time < self.until
        } else {
            self.from <= time || time < self.until
        }
    }
}

impl FromStr for TimeWindow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("window {text:?} must be two different times of day, such as 01:00-05:00 or 22:00-06:00");
        let time = |part: &str| {
            let is_time = part.len() == 5 && part.bytes().filter(u8::is_ascii_digit).count() == 4;
            NaiveTime::parse_from_str(part, "%H:%M").ok().filter(|_| is_time)
        };
        let (from, until) = text.split_once('-').ok_or_else(wrong)?;
        match (time(from), time(until)) {
            (Some(from), Some(until)) if from != until => Ok(Self { from, until }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for TimeWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.from.format("%H:%M"), self.until.format("%H:%M"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> NaiveTime {
        NaiveTime::parse_from_str(text, "%H:%M").unwrap()
    }

    #[test]
    fn the_beginning_is_in_and_the_end_is_not() {
        let night: TimeWindow = "01:00-05:00".parse().unwrap();
        let inside = ["00:59", "01:00", "04:59", "05:00"].map(|time| night.contains(at(time)));
        assert_eq!(inside, [false, true, true, false]);
        let over_midnight: TimeWindow = "22:00-06:00".parse().unwrap();
        let inside = ["21:59", "22:00", "00:00", "05:59", "06:00"].map(|time| over_midnight.contains(at(time)));
        assert_eq!(inside, [false, true, true, true, false]);
        assert_eq!(over_midnight.to_string(), "22:00-06:00");
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "01:00", "01:00-01:00", "1:00-5:00", "24:00-05:00", "01:00-05:60", "01:00 - 05:00", "01:00-05:00-"]
        {
            assert!(text.parse::<TimeWindow>().unwrap_err().contains("such as 01:00-05:00"), "{text}");
        }
    }
}
