//! Schedules of policies: cron expressions in the local time of a time zone.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, TimeDelta, TimeZone as _, Utc};
use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};
use croner::{Cron, Direction};

/// A cron expression of five fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
///
/// It specifies local times, and each local time fires once. A time that a daylight-saving change skips fires right after
/// the change. A time that the change repeats fires only the first time, so `*/15 * * * *` does not fire in the repeated
/// hour.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    cron: Cron,
}

/// The names that may replace a cron expression.
const NICKNAMES: [&str; 6] = ["@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually"];

/// How far a past firing can be ahead of the current local time. When clocks are set back, local times repeat: a firing at
/// 02:45 may already be over when the local time is 02:15 again. 24 hours covers every such change, including moves of the
/// date line.
const REPEATED: TimeDelta = TimeDelta::hours(24);

impl Schedule {
    /// The newest firings after `after`, up to and including `upto`, at most `limit`, oldest first.
    #[must_use]
    pub fn firings(&self, zone: Tz, after: DateTime<Utc>, upto: DateTime<Utc>, limit: usize) -> Vec<DateTime<Utc>> {
        let from = upto.with_timezone(&zone).naive_local() + REPEATED;
        let mut firings = Vec::new();
        for local in self.cron.iter_from(from, Direction::Backward) {
            let firing = instant(zone, local);
            // Local times arrive in descending order, and so do their instants. Several skipped local times map to the same
            // instant, hence the comparison with the last firing.
            if firing <= after || firings.len() >= limit {
                break;
            }
            if firing <= upto && firings.last() != Some(&firing) {
                firings.push(firing);
            }
        }
        firings.reverse();
        firings
    }

    /// The first firing after `after`. `None`: the schedule never fires again.
    #[must_use]
    pub fn next(&self, zone: Tz, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let from = after.with_timezone(&zone).naive_local() - TimeDelta::hours(1);
        let local = self.cron.iter_from(from, Direction::Forward);
        local.map(|local| instant(zone, local)).find(|firing| *firing > after)
    }
}

/// The instant of a local time: the first one if the local time occurs twice, and the first instant after it if it is
/// skipped.
fn instant(zone: Tz, local: NaiveDateTime) -> DateTime<Utc> {
    /// The longest gap in any zone: a day, when a country moved across the date line.
    const LONGEST_GAP_MINUTES: i64 = 24 * 60;
    let shown = (0..=LONGEST_GAP_MINUTES)
        .find_map(|gap| zone.from_local_datetime(&(local + TimeDelta::minutes(gap))).earliest());
    shown.map_or_else(|| local.and_utc(), |time| time.with_timezone(&Utc))
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &dyn fmt::Display| {
            format!(
                "{text:?} is not a schedule: {why}. Give five fields (minute, hour, day of the month, month, day of the \
                 week), such as \"17 2 * * *\", or one of {}",
                NICKNAMES.join(", ")
            )
        };
        if text.starts_with('@') && !NICKNAMES.contains(&text) {
            return Err(wrong(&"unknown name"));
        }
        if !text.starts_with('@') && text.split_whitespace().count() != 5 {
            return Err(wrong(&"it does not have five fields"));
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| wrong(&error))?;
        // Reject days that never exist, such as 30 February. The start of the search does not matter.
        cron.find_next_occurrence(&DateTime::UNIX_EPOCH.naive_utc(), true)
            .map_err(|_| wrong(&"that day never exists"))?;
        Ok(Self { text: text.to_owned(), cron })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Schedules are equal if their texts are.
impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: Tz = Tz::Europe__Berlin;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn firings(schedule: &str, zone: Tz, after: &str, upto: &str) -> Vec<String> {
        let found = schedule.parse::<Schedule>().unwrap().firings(zone, at(after), at(upto), 100);
        found.iter().map(|firing| firing.format("%dT%H:%M").to_string()).collect()
    }

    #[test]
    fn the_newest_are_found_without_looking_at_the_oldest() {
        let daily: Schedule = "17 2 * * *".parse().unwrap();
        let newest = daily.firings(Tz::UTC, at("1970-01-01T00:00:00Z"), at("2026-11-25T02:17:00Z"), 2);
        assert_eq!(newest, [at("2026-11-24T02:17:00Z"), at("2026-11-25T02:17:00Z")]);
        assert_eq!(firings("17 2 * * *", Tz::UTC, "2026-11-24T02:17:00Z", "2026-11-25T02:16:59Z"), [""; 0]);
        assert_eq!(firings("@daily", Tz::UTC, "2026-11-24T02:17:00Z", "2026-11-25T02:16:59Z"), ["25T00:00"]);
        assert!(daily.firings(Tz::UTC, at("1970-01-01T00:00:00Z"), at("2026-11-25T02:17:00Z"), 0).is_empty());
    }

    #[test]
    fn a_local_time_that_summer_time_skips_fires_once() {
        // 02:00 becomes 03:00 on 2026-03-29, at 01:00 UTC.
        assert_eq!(
            firings("30 2 * * *", BERLIN, "2026-03-28T12:00:00Z", "2026-03-30T12:00:00Z"),
            ["29T01:00", "30T00:30"]
        );
        let quarters = firings("*/15 * * * *", BERLIN, "2026-03-29T00:30:00Z", "2026-03-29T01:20:00Z");
        assert_eq!(quarters, ["29T00:45", "29T01:00", "29T01:15"]);
    }

    #[test]
    fn a_local_time_that_summer_time_repeats_fires_once() {
        // 03:00 becomes 02:00 on 2026-10-25, at 01:00 UTC.
        assert_eq!(
            firings("30 2 * * *", BERLIN, "2026-10-24T12:00:00Z", "2026-10-26T12:00:00Z"),
            ["25T00:30", "26T01:30"]
        );
        // Seen from within the repeated hour, where the wall clock says less than it did.
        assert_eq!(firings("45 2 * * *", BERLIN, "2026-10-24T12:00:00Z", "2026-10-25T01:10:00Z"), ["25T00:45"]);
        let quarters = firings("*/15 * * * *", BERLIN, "2026-10-25T00:40:00Z", "2026-10-25T02:20:00Z");
        assert_eq!(quarters, ["25T00:45", "25T02:00", "25T02:15"]);
    }

    #[test]
    fn the_next_one_is_known() {
        let nightly: Schedule = "30 2 * * *".parse().unwrap();
        assert_eq!(nightly.next(BERLIN, at("2026-10-25T00:30:00Z")), Some(at("2026-10-26T01:30:00Z")));
        assert_eq!(nightly.next(BERLIN, at("2026-03-29T00:59:00Z")), Some(at("2026-03-29T01:00:00Z")));
        let leap: Schedule = "0 0 29 2 *".parse().unwrap();
        assert_eq!(leap.next(Tz::UTC, at("2026-03-29T00:59:00Z")), Some(at("2028-02-29T00:00:00Z")));
    }

    #[test]
    fn other_texts_are_refused_with_the_way_out() {
        for text in [
            "",
            "* * * *",
            "* * * * * *",
            "61 2 * * *",
            "0 0 30 2 *",
            "@never",
            "@daily x",
            "a b c d e",
            "17 2 * * * 2027",
        ] {
            let error = text.parse::<Schedule>().unwrap_err();
            assert!(error.contains(text) && error.contains("17 2 * * *"), "{error}");
        }
        for text in ["*/5 1-5 * * MON-FRI", "0 3 1,15 * *", "@hourly", "@weekly", "@monthly", "@yearly", "@annually"] {
            assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
        }
    }
}
