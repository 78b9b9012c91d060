//! The text of a recycle time, by flag or by policy: a time, an age, or a day by name.

use crate::criteria::{RecycleTime, RecycleType};
use chrono::{Days, NaiveDateTime, TimeDelta};

/// Reads `yyyy-mm-dd hh:mm:ss`, an age (`-30d`, `-12h`), `today` or `yesterday`; `now` is the wall clock that ages and
/// days are counted from.
///
/// # Errors
/// A text that names the value (`name`: the flag or the setting) and the way out. An age of 0 and a future day for type 1 are refused: each would select
/// numbers that nobody can have meant.
pub fn recycle_time(
    name: &str,
    text: &str,
    recycle_type: RecycleType,
    now: NaiveDateTime,
) -> Result<RecycleTime, String> {
    let time = read(text, now).map_err(|problem| format!("{name} \"{text}\" {problem}"))?;
    if recycle_type == RecycleType::UpToDay && time.get().date() > now.date() {
        return Err(format!(
            "{name} \"{text}\" is in the future: with recycle type 1 that selects every number that has a \
             recycle time up to {}, those not yet due included. Give today or an earlier day",
            time.get().date()
        ));
    }
    Ok(time)
}

fn read(text: &str, now: NaiveDateTime) -> Result<RecycleTime, &'static str> {
    let midnight = NaiveDateTime::from(now.date());
    let time = match text {
        "today" => Some(midnight),
        "yesterday" => midnight.checked_sub_days(Days::new(1)),
        _ => match text.strip_prefix('-') {
            Some(age) => now.checked_sub_signed(read_age(age)?),
            None => return RecycleTime::parse(text).map_err(|_| EXPECTED),
        },
    };
    // Through the page's form: it is to the second, and knows no year before 0.
    let parsed = time.and_then(|time| RecycleTime::parse(&time.format("%Y-%m-%d %H:%M:%S").to_string()).ok());
    parsed.ok_or(TOO_LARGE)
}

const EXPECTED: &str =
    "is no time. Give yyyy-mm-dd hh:mm:ss (a real one), an age such as -30d or -12h, today or yesterday";
const TOO_LARGE: &str = "lies before the calendar begins. Give a smaller age";

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
    if digits.bytes().all(|b| b == b'0') {
        return Err("is an age of 0. Say today, or give an age of 1 or more");
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
            assert!(error.contains("is no time") && error.contains(text), "{error}");
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
