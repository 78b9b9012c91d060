//! Criteria: the filters that select numbers of a campaign.

use std::fmt;

use chrono::{Days, NaiveDate, NaiveDateTime, TimeDelta};
use serde::{Deserialize, Serialize};

use crate::model::invalid::{InvalidParameter, Problem};
use crate::model::number::{Called, CustomField, SessionId, check_text};

/// Filters, all of which a number must pass. There is always at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CriteriaMembers", into = "CriteriaMembers")]
pub struct Criteria {
    session_id: Option<SessionId>,
    called: Option<Called>,
    custom_field: Option<CustomField>,
    recycle: Option<Recycle>,
}

impl Criteria {
    /// Combines filters that are each valid by themselves.
    ///
    /// # Errors
    /// 02000009 if only one of recycleTime and recycleType is given, 02000001 if no filter is given. Ignoring an incomplete
    /// filter instead would delete more numbers than the client asked for.
    pub fn new(members: CriteriaMembers) -> Result<Self, InvalidParameter> {
        let CriteriaMembers { session_id, called, custom_field, recycle_time, recycle_type } = members;
        let recycle = match (recycle_type, recycle_time) {
            (Some(recycle_type), Some(RecycleTime(time))) => Some(Recycle { recycle_type, time }),
            (None, None) => None,
            (Some(_), None) => return Err(InvalidParameter::new("recycleType", Problem::Without("recycleTime"))),
            (None, Some(_)) => return Err(InvalidParameter::new("recycleTime", Problem::Without("recycleType"))),
        };
        if session_id.is_none() && called.is_none() && custom_field.is_none() && recycle.is_none() {
            let filters = "sessionId, called, customField or recycleTime with recycleType";
            return Err(InvalidParameter::new(filters, Problem::Empty));
        }
        Ok(Self { session_id, called, custom_field, recycle })
    }

    /// Criteria with only a recycle filter, as sweeps use them.
    #[must_use]
    pub fn recycled(recycle: Recycle) -> Self {
        Self { session_id: None, called: None, custom_field: None, recycle: Some(recycle) }
    }

    /// The sessionId that a number must have.
    #[must_use]
    pub fn session_id(&self) -> Option<&SessionId> {
        self.session_id.as_ref()
    }

    /// The called number that a number must have.
    #[must_use]
    pub fn called(&self) -> Option<&Called> {
        self.called.as_ref()
    }

    /// The customField that a number must have.
    #[must_use]
    pub fn custom_field(&self) -> Option<&CustomField> {
        self.custom_field.as_ref()
    }

    /// The filter on the recycle time.
    #[must_use]
    pub fn recycle(&self) -> Option<Recycle> {
        self.recycle
    }
}

/// The filters of a request by their names on the vendor's page: each valid by itself, not yet combined.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the names are those of the vendor's page, and the types are documented")]
pub struct CriteriaMembers {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<SessionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub called: Option<Called>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub custom_field: Option<CustomField>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recycle_time: Option<RecycleTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recycle_type: Option<RecycleType>,
}

impl TryFrom<CriteriaMembers> for Criteria {
    type Error = InvalidParameter;

    fn try_from(members: CriteriaMembers) -> Result<Self, InvalidParameter> {
        Self::new(members)
    }
}

impl From<Criteria> for CriteriaMembers {
    fn from(criteria: Criteria) -> Self {
        Self {
            session_id: criteria.session_id,
            called: criteria.called,
            custom_field: criteria.custom_field,
            recycle_time: criteria.recycle.map(|recycle| RecycleTime(recycle.time)),
            recycle_type: criteria.recycle.map(|recycle| recycle.recycle_type),
        }
    }
}

/// Which numbers a recycle time selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum RecycleType {
    /// `1`: the day of recycleTime or any earlier day.
    UpToDay,
    /// `2`: that day.
    Day,
    /// `3`: the same second.
    Second,
}

impl RecycleType {
    /// Reads `1`, `2` or `3`.
    ///
    /// # Errors
    /// 02000001 empty, 02000002 control characters, 02000007 anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidParameter> {
        check_text("recycleType", text, usize::MAX, |c| !c.is_control())?;
        match text {
            "1" => Ok(Self::UpToDay),
            "2" => Ok(Self::Day),
            "3" => Ok(Self::Second),
            _ => Err(InvalidParameter::new("recycleType", Problem::Value("\"1\", \"2\" or \"3\""))),
        }
    }

    /// The type as the page writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UpToDay => "1",
            Self::Day => "2",
            Self::Second => "3",
        }
    }
}

/// A wall-clock time without a zone, in whole seconds, in the format of the vendor's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecycleTime(NaiveDateTime);

/// chrono's name for `yyyy-mm-dd hh:mm:ss`.
const PAGE_FORMAT: &str = "%Y-%m-%d %H:%M:%S";

impl RecycleTime {
    /// Parses `yyyy-mm-dd hh:mm:ss` with all digits.
    ///
    /// # Errors
    /// 02000001 empty, 02000002 control characters, 0200030 not an existing date and time in that format.
    pub fn parse(text: &str) -> Result<Self, InvalidParameter> {
        check_text("recycleTime", text, usize::MAX, |c| !c.is_control())?;
        read_page_format(text).map(Self).ok_or_else(|| InvalidParameter::new("recycleTime", Problem::NotADateTime))
    }

    /// The time.
    #[must_use]
    pub fn get(self) -> NaiveDateTime {
        self.0
    }
}

impl fmt::Display for RecycleTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.format(PAGE_FORMAT).fmt(f)
    }
}

impl fmt::Display for RecycleType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Checks the format strictly: chrono's own parser accepts `+2021`, one-digit months and leap seconds.
fn read_page_format(text: &str) -> Option<NaiveDateTime> {
    let shape = b"0000-00-00 00:00:00";
    let fits = text.len() == shape.len()
        && text.bytes().zip(shape).all(|(b, form)| if *form == b'0' { b.is_ascii_digit() } else { b == *form });
    let part = |range: std::ops::Range<usize>| text.get(range)?.parse::<u32>().ok();
    if !fits {
        return None;
    }
    let year = i32::try_from(part(0..4)?).ok()?;
    NaiveDate::from_ymd_opt(year, part(5..7)?, part(8..10)?)?.and_hms_opt(part(11..13)?, part(14..16)?, part(17..19)?)
}

macro_rules! convert_as_text {
    ($($type:ident),*) => {$(
        impl TryFrom<String> for $type {
            type Error = InvalidParameter;
            fn try_from(text: String) -> Result<Self, InvalidParameter> {
                Self::parse(&text)
            }
        }
        impl std::str::FromStr for $type {
            type Err = InvalidParameter;
            fn from_str(text: &str) -> Result<Self, InvalidParameter> {
                Self::parse(text)
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }
    )*};
}
convert_as_text!(RecycleType, RecycleTime);

/// A recycle filter: a type and the time it applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recycle {
    /// Which range the time selects.
    pub recycle_type: RecycleType,
    /// The wall-clock time.
    pub time: NaiveDateTime,
}

/// The last year that all three databases can store and compare.
const LAST_YEAR: i32 = 9999;

impl Recycle {
    /// The half-open range `[from, before)` of recycle times that it selects. `None` means the first or last time of
    /// `CALENDAR`. A number without a recycle time is in no range.
    #[must_use]
    pub fn range(self) -> (Option<NaiveDateTime>, Option<NaiveDateTime>) {
        let day = self.time.date();
        let storable = |end: NaiveDateTime| (end.date() <= last_day()).then_some(end);
        let next_day = day.checked_add_days(Days::new(1)).map(NaiveDateTime::from).and_then(storable);
        match self.recycle_type {
            RecycleType::UpToDay => (None, next_day),
            RecycleType::Day => (Some(day.into()), next_day),
            RecycleType::Second => {
                let next_second = self.time.checked_add_signed(TimeDelta::seconds(1)).and_then(storable);
                (Some(self.time), next_second)
            }
        }
    }
}

/// The first and last recycle time. Other programs may have stored values outside (PostgreSQL's `infinity`, MariaDB's
/// `0000-00-00`, any text on SQLite). No range contains them, so they are never removed by their recycle time.
pub(crate) const CALENDAR: (&str, &str) = ("0001-01-01 00:00:00", "9999-12-31 23:59:59.999999");

fn last_day() -> NaiveDate {
    NaiveDate::from_ymd_opt(LAST_YEAR, 12, 31).unwrap_or(NaiveDate::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> NaiveDateTime {
        RecycleTime::parse(text).unwrap().get()
    }

    fn range(recycle_type: RecycleType, text: &str) -> (Option<NaiveDateTime>, Option<NaiveDateTime>) {
        Recycle { recycle_type, time: time(text) }.range()
    }

    #[test]
    fn days_are_half_open() {
        let next_day = Some(time("2020-12-05 00:00:00"));
        assert_eq!(range(RecycleType::UpToDay, "2020-12-04 17:57:00"), (None, next_day));
        assert_eq!(range(RecycleType::Day, "2020-12-04 17:57:00"), (Some(time("2020-12-04 00:00:00")), next_day));
        let second = range(RecycleType::Second, "2020-12-04 17:57:00");
        assert_eq!(second, (Some(time("2020-12-04 17:57:00")), Some(time("2020-12-04 17:57:01"))));
        assert_eq!(range(RecycleType::UpToDay, "9999-12-31 00:00:00"), (None, None));
    }

    #[test]
    fn only_real_times_in_the_page_s_form() {
        for text in ["2020-02-29 00:00:00", "9999-12-31 23:59:59", "0001-01-01 00:00:00"] {
            assert_eq!(RecycleTime::parse(text).unwrap().to_string(), text);
        }
        let wrong = [
            "2021-02-29 00:00:00",
            "2020-12-04 24:00:00",
            "2020-12-04 23:59:60",
            "2020-12-04 23:60:00",
            " 2020-12-04 00:00:00",
            "2020-12-04 00:00:00 ",
            "2020-12-04T00:00:00",
            "2020-12-4 00:00:00",
            "+020-12-04 00:00:00",
            "2020-12-04",
            "２０２０-12-04 00:00:00",
            "2020-12-04 00:00:0é",
            "2020-00-04 00:00:00",
        ];
        for text in wrong {
            assert_eq!(RecycleTime::parse(text).unwrap_err().problem, Problem::NotADateTime, "{text:?}");
        }
        assert_eq!(RecycleTime::parse("").unwrap_err().problem, Problem::Empty);
        assert_eq!(RecycleTime::parse("2020-12-04\n00:00:00").unwrap_err().problem, Problem::Characters);
    }

    #[test]
    fn no_filter_and_half_a_recycle_filter_are_refused() {
        assert_eq!(Criteria::new(CriteriaMembers::default()).unwrap_err().problem, Problem::Empty);
        let half = CriteriaMembers { recycle_type: Some(RecycleType::Day), ..Default::default() };
        assert_eq!(Criteria::new(half).unwrap_err().problem, Problem::Without("recycleTime"));
    }

    #[test]
    fn the_ledger_s_json_reads_back() {
        let json = r#"{"customField":"推荐","recycleTime":"2020-12-04 17:57:00","recycleType":"3"}"#;
        let criteria: Criteria = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&criteria).unwrap(), json);
        assert!(serde_json::from_str::<Criteria>("{}").is_err());
    }
}
