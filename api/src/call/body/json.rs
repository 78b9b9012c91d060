//! JSON, read so that nothing is lost on the way: the order of members, repeated names, numbers as written.

use std::fmt;

use callsweep_core::invalid::{InvalidParameter, Problem};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::BODY;

/// Arrays and objects inside one another, the body's own object included. The page needs one.
const MAX_DEPTH: usize = 128;

/// Reads one JSON value and makes sure that all of it is well formed.
///
/// # Errors
/// 02000001 nothing but white space; 02000008 not UTF-8, a byte-order mark, no JSON, half a surrogate pair, nested
/// too deep.
pub(super) fn read(body: &[u8]) -> Result<&RawValue, InvalidParameter> {
    if body.iter().all(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n')) {
        return Err(InvalidParameter::new(BODY, Problem::Empty));
    }
    let text = std::str::from_utf8(body).map_err(|error| {
        let place = error.valid_up_to();
        not_json(format!("the byte at position {place} is not UTF-8"))
    })?;
    if text.starts_with('\u{feff}') {
        return Err(not_json("it begins with a byte-order mark"));
    }
    let value: &RawValue = serde_json::from_str(text).map_err(not_json)?;
    check(value, MAX_DEPTH)?;
    Ok(value)
}

/// The grammar of a raw value is checked already, but neither its depth nor the escapes in its strings.
fn check(value: &RawValue, depth: usize) -> Result<(), InvalidParameter> {
    let inner = match value.get().as_bytes().first() {
        Some(b'"') => return string(value).map(|_| ()),
        Some(b'{') => members(value)?.unwrap_or_default().into_iter().map(|(_, value)| value).collect(),
        Some(b'[') => serde_json::from_str::<Vec<&RawValue>>(value.get()).map_err(not_json)?,
        _ => return Ok(()),
    };
    let depth = depth.checked_sub(1).ok_or_else(|| not_json(format!("it is nested more than {MAX_DEPTH} deep")))?;
    inner.into_iter().try_for_each(|value| check(value, depth))
}

/// The members of an object, in order, repeated ones too. `None` when it is no object.
pub(super) fn members(value: &RawValue) -> Result<Option<Vec<(String, &RawValue)>>, InvalidParameter> {
    if !value.get().starts_with('{') {
        return Ok(None);
    }
    let members: Members<'_> = serde_json::from_str(value.get()).map_err(not_json)?;
    Ok(Some(members.0))
}

/// The text of a string. `None` when it is no string.
pub(super) fn string(value: &RawValue) -> Result<Option<String>, InvalidParameter> {
    if !value.get().starts_with('"') {
        return Ok(None);
    }
    serde_json::from_str(value.get()).map(Some).map_err(not_json)
}

fn not_json(reason: impl fmt::Display) -> InvalidParameter {
    InvalidParameter::new(BODY, Problem::NotJson(reason.to_string()))
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(body: &[u8]) -> Problem {
        read(body).unwrap_err().problem
    }

    fn is_json(body: &str) -> bool {
        match read(body.as_bytes()) {
            Ok(_) => true,
            Err(InvalidParameter { problem: Problem::NotJson(_), .. }) => false,
            Err(other) => panic!("{body}: {other}"),
        }
    }

    #[test]
    fn white_space_alone_is_empty() {
        assert_eq!(problem(b""), Problem::Empty);
        assert_eq!(problem(b" \t\r\n"), Problem::Empty);
        assert!(!is_json("\u{a0}"));
        assert!(!is_json("\u{b}"));
    }

    #[test]
    fn what_is_no_json() {
        let texts = [
            "{",
            "{}{}",
            "{} x",
            "{\"a\":01}",
            "{\"a\":.5}",
            "{\"a\":1.}",
            "{\"a\":NaN}",
            "{'a':1}",
            "{\"a\":1,}",
            "[1,]",
            "\u{feff}{}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\\x\"}",
            "{a:1}",
            "{\"a\" 1}",
            "tru",
            "// x\n{}",
            "{\"a\":+1}",
        ];
        for text in texts {
            assert!(!is_json(text), "{text}");
        }
        assert!(matches!(problem(b"{\"a\":\"\xff\"}"), Problem::NotJson(_)));
        assert!(matches!(problem(b"\xed\xa0\x80"), Problem::NotJson(_)));
        for text in ["1", "null", "\"\"", "[]", " {} ", "{\"a\":1e999}", "{\"a\":-0}", "{\"a\":\"\\ud83d\\ude00\"}"] {
            assert!(is_json(text), "{text}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_found_wherever_it_stands() {
        for half in [r"\ud800", r"\udc00", r"\ud800\ud800", r"\ud83d x", r"\ud83d\n"] {
            for text in [
                format!(r#""{half}""#),
                format!(r#"{{"{half}":1}}"#),
                format!(r#"{{"x":[1,{{"y":"{half}"}}]}}"#),
                format!(r#"[["{half}"]]"#),
            ] {
                assert!(!is_json(&text), "{text}");
            }
        }
    }

    #[test]
    fn depth_is_bounded_in_every_mixture() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_json(&nested(MAX_DEPTH)));
        assert!(!is_json(&nested(MAX_DEPTH + 1)));
        assert!(!is_json(&nested(8_000)));
        let objects = format!("{}1{}", "{\"a\":".repeat(MAX_DEPTH + 1), "}".repeat(MAX_DEPTH + 1));
        assert!(!is_json(&objects));
    }
}
