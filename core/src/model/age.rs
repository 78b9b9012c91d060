//! Retention ages, such as `90d`.

use chrono::{Days, Months, NaiveDate, NaiveDateTime};

const REMEDY: &str = "Give a number and a unit: 90d, 26w or 2y";

/// Subtracts an age (`90d`, `26w`, `2y`) from `now`.
///
/// # Errors
/// A text that names the value and the remedy. An empty age and an age of 0 are refused: either would delete all history.
pub fn cutoff(age: &str, now: NaiveDateTime) -> Result<NaiveDateTime, String> {
    let refuse = |problem: &str| Err(format!("the age {age:?} {problem}. {REMEDY}"));
    let digits = age.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &age[digits.len()..];
    if age.is_empty() {
        return refuse("is empty, which would end all of history");
    }
    let number = match digits.parse::<u32>() {
        Ok(0) => return refuse("is zero, which would end all of history"),
        Ok(number) if digits.bytes().all(|b| b.is_ascii_digit()) => number,
        _ => return refuse("is not an age"),
    };
    let time = match unit {
        "d" => now.checked_sub_days(Days::new(number.into())),
        "w" => now.checked_sub_days(Days::new(u64::from(number) * 7)),
        "y" => number.checked_mul(12).and_then(|months| now.checked_sub_months(Months::new(months))),
        "" => return refuse("has no unit"),
        "m" => return refuse("is ambiguous: m could be minutes or months"),
        _ => return refuse("has an unknown unit"),
    };
    match time.filter(|time| *time >= FIRST_STORABLE.into()) {
        Some(time) => Ok(time),
        None => refuse("reaches before the year 1000"),
    }
}

/// MariaDB documents DATETIME from the year 1000 on; the databases disagree about earlier times.
const FIRST_STORABLE: NaiveDate = NaiveDate::from_ymd_opt(1000, 1, 1).unwrap();

#[cfg(test)]
mod tests {
    use super::*;

    fn before(age: &str) -> Result<String, String> {
        let now = "2024-02-29T12:00:00".parse().unwrap();
        cutoff(age, now).map(|time| time.to_string())
    }

    #[test]
    fn ages_are_counted_by_the_calendar() {
        assert_eq!(before("1d").unwrap(), "2024-02-28 12:00:00");
        assert_eq!(before("2w").unwrap(), "2024-02-15 12:00:00");
        assert_eq!(before("1y").unwrap(), "2023-02-28 12:00:00");
        assert_eq!(before("4y").unwrap(), "2020-02-29 12:00:00");
    }

    #[test]
    fn what_would_end_everything_is_refused() {
        let cases = [
            ("", "is empty"),
            ("0", "is zero"),
            ("0d", "is zero"),
            ("00y", "is zero"),
            ("2", "no unit"),
            ("2m", "ambiguous"),
            ("2h", "unknown unit"),
            ("d", "not an age"),
            ("-2d", "not an age"),
            ("+2d", "not an age"),
            (" 2d", "not an age"),
            ("2d ", "not an age"),
            ("1.5y", "not an age"),
            ("2000y", "before the year 1000"),
            ("4294967295y", "before the year 1000"),
            ("4294967296d", "not an age"),
            ("２d", "not an age"),
        ];
        for (age, problem) in cases {
            let error = before(age).unwrap_err();
            assert!(error.contains(problem) && error.contains("90d, 26w or 2y"), "{age}: {error}");
        }
    }
}
