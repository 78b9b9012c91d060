//! The body of the call: from bytes to criteria, in the contract's order of failures (section 2).

mod json;

use callsweep_core::criteria::{Criteria, CriteriaMembers, RecycleTime, RecycleType};
use callsweep_core::invalid::{InvalidParameter, Problem};
use callsweep_core::number::{Called, CustomField, SessionId};
use serde_json::value::RawValue;

/// The members of the page (table 3), in its order: the order in which they are checked.
const MEMBERS: [&str; 6] = ["sessionId", "called", "customField", "recycleTime", "recycleType", "archiveHistory"];

/// The name by which answers call the body itself.
pub const BODY: &str = "body";
/// What a filter's type must be, in the words of an answer.
pub const A_STRING: &str = "a string";
/// What archiveHistory must be, in the words of an answer.
pub const ZERO_OR_ONE: &str = "the integer 0 or 1";
/// What the body must be, in the words of an answer.
pub const AN_OBJECT: &str = "a JSON object";

/// What a body asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct DeleteCall {
    /// Which numbers.
    pub criteria: Criteria,
    /// Whether they move to the history table.
    pub archive_history: bool,
}

impl DeleteCall {
    /// Reads a body.
    ///
    /// # Errors
    /// The first failure in the contract's order: JSON, shape, the members in the page's order, their combination.
    pub fn parse(body: &[u8]) -> Result<Self, InvalidParameter> {
        let value = json::read(body)?;
        let members = json::members(value)?.ok_or_else(|| InvalidParameter::new(BODY, Problem::Type(AN_OBJECT)))?;
        check_names(members.iter().map(|(name, _)| name.as_str()))?;
        // A null is a member, but says nothing.
        let given = |wanted: &str| {
            let found = members.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| *value).filter(|value| value.get() != "null")
        };
        let filters = CriteriaMembers {
            session_id: text("sessionId", given("sessionId"), SessionId::parse)?,
            called: text("called", given("called"), Called::parse)?,
            custom_field: text("customField", given("customField"), CustomField::parse)?,
            recycle_time: text("recycleTime", given("recycleTime"), RecycleTime::parse)?,
            recycle_type: text("recycleType", given("recycleType"), RecycleType::parse)?,
        };
        let archive_history = given("archiveHistory").map_or(Ok(false), archive_history)?;
        Ok(Self { criteria: Criteria::new(filters)?, archive_history })
    }
}

/// Too many come before one unknown or repeated; of these, the first in order of appearance is named.
fn check_names<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Result<(), InvalidParameter> {
    if names.clone().count() > MEMBERS.len() {
        return Err(InvalidParameter::new(BODY, Problem::TooMany { max: MEMBERS.len() }));
    }
    let mut seen = Vec::with_capacity(MEMBERS.len());
    for name in names {
        let problem = if !MEMBERS.contains(&name) {
            Problem::Unknown
        } else if seen.contains(&name) {
            Problem::Repeated
        } else {
            seen.push(name);
            continue;
        };
        return Err(InvalidParameter::new(shorten(name), problem));
    }
    Ok(())
}

/// A stranger's name is repeated in the answer; this many characters of it are enough to find it.
const SHOWN_NAME_CHARS: usize = 64;

fn shorten(name: &str) -> String {
    match name.char_indices().nth(SHOWN_NAME_CHARS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

fn text<T>(
    name: &'static str,
    value: Option<&RawValue>,
    parse: impl FnOnce(&str) -> Result<T, InvalidParameter>,
) -> Result<Option<T>, InvalidParameter> {
    let Some(value) = value else { return Ok(None) };
    let text = json::string(value)?.ok_or_else(|| InvalidParameter::new(name, Problem::Type(A_STRING)))?;
    parse(&text).map(Some)
}

/// Only digits are an integer here: `1.0` and `1e0` are of another type, and an integer may be longer than any of
/// ours and is then outside the set.
fn archive_history(value: &RawValue) -> Result<bool, InvalidParameter> {
    let text = value.get();
    let problem = match text.strip_prefix('-').unwrap_or(text) {
        // There is no other way to write these: JSON forbids leading zeros.
        "0" => return Ok(false),
        "1" if text == "1" => return Ok(true),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => Problem::Value(ZERO_OR_ONE),
        _ => Problem::Type(ZERO_OR_ONE),
    };
    Err(InvalidParameter::new("archiveHistory", problem))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(body: &str) -> (String, Problem) {
        let error = DeleteCall::parse(body.as_bytes()).unwrap_err();
        (error.name.into_owned(), error.problem)
    }

    #[test]
    fn archive_history_is_an_integer_of_any_length() {
        let of = |value: &str| DeleteCall::parse(format!(r#"{{"called":"1","archiveHistory":{value}}}"#).as_bytes());
        for (value, archive) in [("0", false), ("1", true), ("-0", false), ("null", false)] {
            assert_eq!(of(value).unwrap().archive_history, archive, "{value}");
        }
        for value in ["2", "-1", "10", "99999999999999999999", "-99999999999999999999"] {
            assert_eq!(of(value).unwrap_err().problem, Problem::Value(ZERO_OR_ONE), "{value}");
        }
        for value in ["1.0", "1e0", "1E400", "0.0", "true", "\"1\"", "[]", "{}", "\"\""] {
            assert_eq!(of(value).unwrap_err().problem, Problem::Type(ZERO_OR_ONE), "{value}");
        }
    }

    #[test]
    fn names_the_first_member_that_is_unknown_or_repeated() {
        assert_eq!(failure(r#"{"called":"1","x":1,"called":"1"}"#), ("x".to_owned(), Problem::Unknown));
        assert_eq!(failure(r#"{"called":"1","called":null,"x":1}"#), ("called".to_owned(), Problem::Repeated));
        // Names are compared as they read, not as they are written.
        assert_eq!(failure(r#"{"called":"1","call\u0065d":"1"}"#), ("called".to_owned(), Problem::Repeated));
        assert_eq!(failure(r#"{"Called":"1"}"#).1, Problem::Unknown);
        let (long, _) = failure(&format!(r#"{{"{}":1}}"#, "字".repeat(1_000)));
        assert_eq!(long.chars().count(), SHOWN_NAME_CHARS + 1);
        assert_eq!(failure(r#"{"a":1,"a":1,"a":1,"a":1,"a":1,"a":1,"a":1}"#).1, Problem::TooMany { max: 6 });
    }

    #[test]
    fn null_is_not_given() {
        let call = DeleteCall::parse(br#"{"sessionId":null,"called":"1","archiveHistory":null}"#).unwrap();
        assert!(call.criteria.session_id().is_none());
        assert!(!call.archive_history);
        assert_eq!(failure(r#"{"sessionId":null}"#).1, Problem::Empty);
    }
}
