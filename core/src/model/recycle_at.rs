//! Recycle times in flags and policies: a time, an age, or a named day.

use crate::model::criteria::{RecycleTime, RecycleType};
use chrono::{Days, NaiveDateTime, TimeDelta};

/// A recycle time as a flag or policy specifies it. It is resolved against the wall clock each time it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecycleAt {
    /// `yyyy-mm-dd hh:mm:ss`
    Time(RecycleTime),
    /// `-30d`, `-12h`: this long ago.
    Age(TimeDelta),
    /// `today`
    Today,
    /// `yesterday`
    Yesterday,
}

impl RecycleAt {
    /// Reads `yyyy-mm-dd hh:mm:ss`, an age (`-30d`, `-12h`), `today` or `yesterday`.
    ///
    /// # Errors
    /// A text that completes "VALUE …" and contains the remedy.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "today" => Ok(Self::Today),
            "yesterday" => Ok(Self::Yesterday),
            _ => match text.strip_prefix('-') {
                Some(age) => read_age(age).map(Self::Age),
                None => RecycleTime::parse(text).map(Self::Time).map_err(|_| EXPECTED),
            },
        }
    }

    /// Whether it is an age of zero: `-0d`, `-0h`.
    #[must_use]
    pub fn is_age_of_zero(self) -> bool {
        self == Self::Age(TimeDelta::zero())
    }

    /// Resolves it against this wall clock.
    ///
    /// # Errors
    /// The time is before the calendar begins.
    pub fn resolve(self, now: NaiveDateTime) -> Result<RecycleTime, &'static str> {
        let midnight = NaiveDateTime::from(now.date());
        let time = match self {
            Self::Time(time) => return Ok(time),
            Self::Age(age) => now.checked_sub_signed(age),
            Self::Today => Some(midnight),
            Self::Yesterday => midnight.checked_sub_days(Days::new(1)),
        };
        // Formatting and parsing truncates it to whole seconds and rejects years before 1.
        let parsed = time.and_then(|time| RecycleTime::parse(&time.format("%Y-%m-%d %H:%M:%S").to_string()).ok());
        parsed.ok_or(TOO_LARGE)
    }
}

/// Parses a [`RecycleAt`] and resolves it against the wall clock `now`.
///
/// # Errors
/// A text that names the flag or setting (`name`), the value and the remedy. An age of 0, and a future day with type 1, are
/// refused: they would select numbers that are not due, which is almost certainly a mistake.
pub fn recycle_time(
    name: &str,
    text: &str,
    recycle_type: RecycleType,
    now: NaiveDateTime,
) -> Result<RecycleTime, String> {
    let read = RecycleAt::parse(text).and_then(|at| if at.is_age_of_zero() { Err(ZERO) } else { at.resolve(now) });
    let time = read.map_err(|problem| format!("{name} \"{text}\" {problem}"))?;
    if is_in_the_future(time, recycle_type, now) {
        return Err(format!(
            "{name} \"{text}\" is in the future: with recycle type 1 that selects every number that has a \
             recycle time up to {}, those not yet due included. Give today or an earlier day",
            time.get().date()
        ));
    }
    Ok(time)
}

/// Whether the filter selects numbers that are not due on the day of `now`.
#[must_use]
pub fn is_in_the_future(time: RecycleTime, recycle_type: RecycleType, now: NaiveDateTime) -> bool {
    recycle_type == RecycleType::UpToDay && time.get().date() > now.date()
}

const EXPECTED: &str =
    "is not a time. Give yyyy-mm-dd hh:mm:ss (a real one), an age such as -30d or -12h, today or yesterday";
const TOO_LARGE: &str = "lies before the calendar begins. Give a smaller age";
const ZERO: &str = "is an age of 0. Say today, or give an age of 1 or more";

fn read_age(age: &str) -> Result<TimeDelta, &'static str> {
    let unit: fn(i64) -> Option<TimeDelta> = match age.chars().last() {
        Some('d') => TimeDelta::try_days,
        Some('h') => TimeDelta::try_hours,
        _ => return Err(EXPECTED),
    };
    let digits = age.get(..age.len() - 1).unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(EXPECTED);
    }
    digits.parse().ok().and_then(unit).ok_or(TOO_LARGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> NaiveDateTime {
        RecycleTime::parse("2026-03-01 06:07:08").unwrap().get()
    }

    fn read_as(recycle_type: RecycleType, text: &str) -> Result<String, String> {
        recycle_time("--recycle-time", text, recycle_type, now()).map(|time| time.to_string())
    }

    #[test]
    fn every_form_is_read() {
        for (text, time) in [
            ("2020-12-04 17:57:00", "2020-12-04 17:57:00"),
            ("-30d", "2026-01-30 06:07:08"),
            ("-12h", "2026-02-28 18:07:08"),
            ("-007h", "2026-02-28 23:07:08"),
            ("today", "2026-03-01 00:00:00"),
            ("yesterday", "2026-02-28 00:00:00"),
        ] {
            assert_eq!(read_as(RecycleType::UpToDay, text).unwrap(), time);
        }
    }

    #[test]
    fn an_age_of_nothing_is_refused() {
        assert!(RecycleAt::parse("-00h").unwrap().is_age_of_zero() && !RecycleAt::Today.is_age_of_zero());
        for text in ["-0d", "-0h", "-000d"] {
            assert!(read_as(RecycleType::UpToDay, text).unwrap_err().contains("age of 0"), "{text}");
        }
        for text in [
            "",
            "-",
            "-d",
            "0",
            "-0",
            "30d",
            "-30",
            "-30m",
            "-3 d",
            "--3d",
            "-é",
            "now",
            "Today",
            "2021-02-29 00:00:00",
        ] {
            let error = read_as(RecycleType::UpToDay, text).unwrap_err();
            assert!(error.contains("is not a time") && error.contains(text), "{error}");
        }
        for text in ["-9999999d", "-99999999999999999999d", "-9223372036854775807h"] {
            assert!(read_as(RecycleType::UpToDay, text).unwrap_err().contains("before the calendar"), "{text}");
        }
    }

    #[test]
    fn only_type_1_refuses_a_future_day() {
        let error = read_as(RecycleType::UpToDay, "2026-03-02 00:00:00").unwrap_err();
        assert!(error.contains("in the future"), "{error}");
        assert!(read_as(RecycleType::UpToDay, "2026-03-01 23:59:59").is_ok());
        assert!(read_as(RecycleType::Day, "2026-03-02 00:00:00").is_ok());
        assert!(read_as(RecycleType::Second, "2026-03-02 00:00:00").is_ok());
    }
}
