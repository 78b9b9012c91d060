//! What is wrong with the settings, in words. The one place that makes such a text: it names file, line, column, key and
//! rule, and never shows the line, since a secret may stand in it.

use std::fmt;

use serde::de::{Error, Expected, Unexpected};

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// In the settings file. Both count from 1; the column counts characters.
    File { path: String, line: usize, column: usize },
    /// In a variable of the environment.
    Variable(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{path}, line {line}, column {column}"),
            Self::Variable(name) => write!(f, "variable {name}"),
        }
    }
}

/// A value that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub(super) place: Option<Place>,
    /// `api.keys[0].vdns`; empty where the file is no TOML.
    pub(super) key: String,
    rule: String,
    /// The value, where it is a scalar of a key that holds no secret.
    value: Option<String>,
    /// Whether the value is of the right type: only then may it be shown.
    is_of_type: bool,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        match &self.value {
            Some(value) => write!(f, "{} = {value}: ", self.key)?,
            None if self.key.is_empty() => {}
            None => write!(f, "{}: ", self.key)?,
        }
        f.write_str(&self.rule)
    }
}

impl std::error::Error for Mistake {}

/// Characters of a value that are shown at most.
const SHOWN_CHARS: usize = 60;

impl Mistake {
    pub(super) fn new(place: Place, key: impl Into<String>, rule: impl Into<String>) -> Self {
        let (place, key, rule) = (Some(place), key.into(), rule.into());
        Self { place, key, rule, value: None, is_of_type: false }
    }

    /// Says where it is, unless something closer to it has said so already. `value`: what stands there.
    pub(super) fn at(self, place: &Place, key: &str, value: Option<&str>) -> Self {
        if self.place.is_some() {
            return self;
        }
        let value = value.filter(|_| self.is_of_type && !may_be_secret(key));
        let value = value.map(|value| {
            let cut: String = value.chars().take(SHOWN_CHARS).collect();
            let dots = if cut.len() < value.len() { "…" } else { "" };
            format!("{cut:?}{dots}")
        });
        Self { place: Some(place.clone()), key: key.to_owned(), value, ..self }
    }

    fn about(rule: String, is_of_type: bool) -> Self {
        Self { place: None, key: String::new(), rule, value: None, is_of_type }
    }
}

/// Whether a value may hold a password: URLs and queries do, too.
fn may_be_secret(key: &str) -> bool {
    let name = key.rsplit('.').next().unwrap_or(key);
    ["secret", "password", "url", "endpoint", "replicas", "http", "query", "access_key"]
        .iter()
        .any(|part| name.contains(part))
}

/// Serde's own texts show the value; these show its type alone.
impl Error for Mistake {
    fn custom<T: fmt::Display>(rule: T) -> Self {
        Self::about(rule.to_string(), true)
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::about(format!("must be {}, not {}", in_words(expected), type_of(found)), false)
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::about(format!("must be {}", in_words(expected)), true)
    }

    fn unknown_variant(_: &str, known: &'static [&'static str]) -> Self {
        let known: Vec<String> = known.iter().map(|known| format!("{known:?}")).collect();
        Self::about(format!("must be {}", known.join(" or ")), true)
    }

    fn unknown_field(_: &str, known: &'static [&'static str]) -> Self {
        Self::about(format!("there is no such key; the keys here are {}", known.join(", ")), false)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::about(format!("{field} is missing"), false)
    }

    fn invalid_length(_: usize, expected: &dyn Expected) -> Self {
        Self::about(format!("must be {}", in_words(expected)), false)
    }
}

/// What serde expects, in the words of a settings file.
fn in_words(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    let words = match text.as_str() {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number, 0 or more",
        "i32" | "i64" | "isize" => "a whole number",
        "f64" => "a number",
        "a sequence" => "a list",
        _ if text.starts_with("a nonzero u") => "a whole number, 1 or more",
        _ if text.starts_with("struct ") => "a table",
        _ => return text,
    };
    words.to_owned()
}

fn type_of(found: Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) => "a whole number",
        Unexpected::Float(_) => "a number",
        Unexpected::Char(_) | Unexpected::Str(_) => "a text",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a table",
        _ => "another type",
    }
}
