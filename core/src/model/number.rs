//! An outbound number and the values that identify it.

use std::fmt;

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

use crate::model::invalid::{InvalidParameter, Problem};

macro_rules! text_value {
    ($(#[$doc:meta])* $type:ident, $name:literal, $max:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The most characters (Unicode code points) allowed (vendor's page, table 3).
            pub const MAX_CHARS: usize = $max;

            /// Checks a text against the limits of the vendor's page.
            ///
            /// # Errors
            /// In this order: 02000001 empty, 02000003 too long, 02000002 characters that are not allowed.
            pub fn parse(text: &str) -> Result<Self, InvalidParameter> {
                check_text($name, text, Self::MAX_CHARS, $allowed)?;
                Ok(Self(text.to_owned()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

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
                value.0
            }
        }

        /// Hides the value: it is personal data, and `Debug` output ends up in logs.
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($type), "(…)"))
            }
        }
    };
}

text_value!(
    /// The client's id for a number, which call results return to the client: 1–32 characters.
    SessionId, "sessionId", 32, no_control
);
text_value!(
    /// The called number: 1–24 characters of `0-9 * #`.
    Called, "called", 24, dialable
);
text_value!(
    /// A user-defined field to delete numbers in batches: 1–200 characters.
    CustomField, "customField", 200, no_control
);

fn no_control(c: char) -> bool {
    !c.is_control()
}

fn dialable(c: char) -> bool {
    matches!(c, '0'..='9' | '*' | '#')
}

pub(crate) fn check_text(
    name: &'static str,
    text: &str,
    max_chars: usize,
    allowed: fn(char) -> bool,
) -> Result<(), InvalidParameter> {
    let problem = if text.is_empty() {
        Problem::Empty
    } else if text.chars().count() > max_chars {
        Problem::TooLong { max_chars }
    } else if !text.chars().all(allowed) {
        Problem::Characters
    } else {
        return Ok(());
    };
    Err(InvalidParameter::new(name, problem))
}

/// Masks all but the last two characters of a called number.
#[must_use]
pub fn mask(called: &str) -> String {
    let hidden = called.chars().count().saturating_sub(2);
    called.chars().enumerate().map(|(i, c)| if i < hidden { '•' } else { c }).collect()
}

/// The dialler's status of a number: the column `call_data.status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(i16)]
pub enum NumberStatus {
    /// Not dialled yet, or to be dialled again.
    Waiting = 0,
    /// Loaded by the dialler, which is about to dial it.
    Loaded = 1,
    /// The call is ongoing.
    Calling = 2,
    /// The call is completed: finally failed.
    Failed = 5,
    /// The call is completed: succeeded.
    Succeeded = 6,
}

/// A number to insert into a campaign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNumber {
    /// Unique in the campaign, and increasing with time.
    pub id: i64,
    /// See [`SessionId`].
    pub session_id: Option<SessionId>,
    /// See [`Called`].
    pub called: Called,
    /// The number shown to the called party, at most 24 characters.
    pub caller: Option<String>,
    /// See [`CustomField`].
    pub custom_field: Option<CustomField>,
    /// Data for the agent, at most 1024 characters.
    pub call_data: Option<String>,
    /// Lower values are dialled first. The default is 3.
    pub priority: i16,
    /// When the number is due for removal: wall-clock time without a zone.
    pub recycle_time: Option<NaiveDateTime>,
    /// Its status with the dialler.
    pub status: NumberStatus,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_wins_in_the_order_of_the_contract() {
        assert_eq!(SessionId::parse("").unwrap_err().problem, Problem::Empty);
        assert_eq!(SessionId::parse(&"\n".repeat(33)).unwrap_err().problem, Problem::TooLong { max_chars: 32 });
        assert_eq!(SessionId::parse("a\0").unwrap_err().problem, Problem::Characters);
        assert!(SessionId::parse(&"字".repeat(32)).is_ok());
        assert_eq!(Called::parse("１２").unwrap_err().problem, Problem::Characters);
        assert!(Called::parse("*#0123456789").is_ok());
    }

    #[test]
    fn masks_all_but_two() {
        assert_eq!(mask("13800138000"), "•••••••••00");
        assert_eq!(mask("7"), "7");
    }

    #[test]
    fn debug_shows_no_number() {
        assert_eq!(format!("{:?}", Called::parse("13800138000").unwrap()), "Called(…)");
    }
}
