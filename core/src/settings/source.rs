//! The settings as they are given: a tree of values, each with the place that it comes from.

use std::collections::BTreeMap;
use std::ffi::OsString;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::settings::mistake::{Mistake, Place};

/// A value and where it was given.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) place: Place,
    pub(super) value: Value,
}

/// What TOML knows, and what a variable of the environment holds.
#[derive(Debug)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
    /// A variable's text: what type it has, the key decides.
    Variable(String),
}

/// Reads the text of a settings file. `path` is shown in errors.
pub(super) fn parse(path: &str, text: &str) -> Result<Node, Mistake> {
    let file = File::new(path, text);
    let document = DeTable::parse(text).map_err(|error| {
        let place = file.place(error.span().map_or(0, |span| span.start));
        // The parser's description names what it expected, never what it found.
        Mistake::new(place, "", format!("this is not TOML: {}", error.message()))
    })?;
    let value = table(&file, document.into_inner(), "")?;
    Ok(Node { place: file.place(0), value })
}

struct File<'a> {
    path: &'a str,
    text: &'a str,
    /// Where each line begins. Counted once: every value has a place, and a file may have many values.
    line_starts: Vec<usize>,
}

impl<'a> File<'a> {
    fn new(path: &'a str, text: &'a str) -> Self {
        let after_breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        Self { path, text, line_starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    fn place(&self, offset: usize) -> Place {
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let line_start = line.checked_sub(1).and_then(|index| self.line_starts.get(index)).copied().unwrap_or(0);
        let column = self.text.get(line_start..offset).map_or(0, |before| before.chars().count()) + 1;
        Place::File { path: self.path.to_owned(), line, column }
    }
}

fn table(file: &File<'_>, table: DeTable<'_>, path: &str) -> Result<Value, Mistake> {
    let entry = |(key, value): (Spanned<std::borrow::Cow<'_, str>>, Spanned<DeValue<'_>>)| {
        let key_place = file.place(key.span().start);
        let key = key.into_inner().into_owned();
        let path = child(path, &key);
        Ok((key, Node { place: key_place, value: node(file, value, &path)?.value }))
    };
    Ok(Value::Table(table.into_iter().map(entry).collect::<Result<_, Mistake>>()?))
}

fn node(file: &File<'_>, value: Spanned<DeValue<'_>>, path: &str) -> Result<Node, Mistake> {
    let place = file.place(value.span().start);
    let value = match value.into_inner() {
        DeValue::String(text) => Value::Text(text.into_owned()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Integer(number),
            Err(_) => return Err(Mistake::new(place, path, "is a whole number of more than 64 bits")),
        },
        DeValue::Float(number) => match number.as_str().parse() {
            Ok(number) => Value::Float(number),
            Err(_) => return Err(Mistake::new(place, path, "must be a number")),
        },
        DeValue::Boolean(yes) => Value::Boolean(yes),
        // Times are read from texts, too.
        DeValue::Datetime(time) => Value::Text(time.to_string()),
        DeValue::Array(values) => {
            let values = values.into_iter().enumerate();
            let nodes = values.map(|(index, value)| node(file, value, &format!("{path}[{index}]")));
            Value::List(nodes.collect::<Result<_, _>>()?)
        }
        DeValue::Table(inner) => table(file, inner, path)?,
    };
    Ok(Node { place, value })
}

/// Characters of a key that are shown at most.
const KEY_CHARS: usize = 64;

/// The path of a key below another. What is no bare key of TOML is not shown: quotes in the wrong place make keys of what
/// should be values.
pub(super) fn child(path: &str, key: &str) -> String {
    let is_bare = key.len() <= KEY_CHARS && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let key = if is_bare { key } else { "\"…\"" };
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// What a variable of the environment begins with that is a setting, where two underscores part section and key. Others
/// are not ours: for a Service named `callsweep` Kubernetes sets `CALLSWEEP_PORT`, `CALLSWEEP_SERVICE_HOST` and more.
const PREFIX: &str = "CALLSWEEP_";

/// Puts `CALLSWEEP_SECTION__KEY` over what the file says.
pub(super) fn overlay(
    settings: &mut Node,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(), Mistake> {
    for (name, value) in variables {
        let Some(name) = name.to_str() else { continue };
        let Some((section, key)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once("__")) else { continue };
        let path: Vec<String> = [section].into_iter().chain(key.split("__")).map(str::to_ascii_lowercase).collect();
        let place = Place::Variable(name.to_owned());
        let Some(value) = value.to_str() else {
            return Err(Mistake::new(place, path.join("."), "must be UTF-8"));
        };
        // As files are read: what a secret store or a here-document puts at the end is no part of the value.
        let value = Value::Variable(value.trim_end_matches(['\r', '\n']).to_owned());
        put(settings, &path, Node { place, value }, &path.join("."))?;
    }
    Ok(())
}

fn put(at: &mut Node, path: &[String], new: Node, whole: &str) -> Result<(), Mistake> {
    let [key, rest @ ..] = path else {
        *at = new;
        return Ok(());
    };
    let place = new.place.clone();
    match &mut at.value {
        Value::Table(table) => {
            let empty = || Node { place, value: Value::Table(BTreeMap::new()) };
            put(table.entry(key.clone()).or_insert_with(empty), rest, new, whole)
        }
        _ => Err(Mistake::new(place, whole, "cannot be set by a variable: what is above it in the file is no table")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::settings::{Settings, decode};

    const SECRET: &str = "Zq7Xk9Wv3Pj2";

    /// With a secret wherever one may stand.
    fn sample() -> String {
        format!(
            "[database]\nurl = \"postgres://u:{SECRET}@h/db\" # {SECRET}\npool_size = 8\n\n[api]\nmax_body = 4096\n\
             listen = \"127.0.0.1:1\"\n[[api.keys]]\naccess_key = \"a\"\nsecret_key = \"{SECRET}\"\nvdns = [1]\n\
             previous_secret_key = '{SECRET}'\n[[api.keys]]\naccess_key = \"{SECRET}\"\nsecret_key_file = \"/f\"\n\
             vdns = \"all\"\n[worker.throttle]\nreplicas = [\"mysql://u:{SECRET}@h/db\"]\nhttp = \"http://u:{SECRET}@h/\"\n"
        )
    }

    fn read(text: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
        let mut tree = parse("callsweep.toml", text).map_err(|mistake| format!("{mistake} {mistake:?}"))?;
        let variables = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        overlay(&mut tree, variables).map_err(|mistake| format!("{mistake} {mistake:?}"))?;
        decode::read(&tree).map_err(|mistake| format!("{mistake} {mistake:?}"))
    }

    fn shows_a_part_of_the_secret(text: &str) -> bool {
        (0..=SECRET.len() - 4).any(|at| text.contains(&SECRET[at..at + 4]))
    }

    const TYPES: [&str; 8] = ["1", "1.5", "true", "[]", "{}", "[{}]", "\"x\"", "2027-01-01"];
    const VARIABLES: [&str; 12] = [
        "CALLSWEEP_DATABASE__URL__X",
        "CALLSWEEP_DATABASE__POOL_SIZE",
        "CALLSWEEP_API__KEYS",
        "CALLSWEEP_API__KEYS__SECRET_KEY",
        "CALLSWEEP_API__LISTEN__PORT",
        "CALLSWEEP_API__TLS",
        "CALLSWEEP_API__SECRET_KEY",
        "CALLSWEEP_API__MAX_BODY",
        "CALLSWEEP_API__LIMITS",
        "CALLSWEEP_WORKER__THROTTLE__REPLICAS",
        "CALLSWEEP_SWEEP__NAME",
        "CALLSWEEP_SECRET__KEY",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        #[test]
        fn no_mistake_in_a_file_shows_a_part_of_a_secret(
            edits in prop::collection::vec((any::<usize>(), "[\"'\\[\\]{}=#,.\n\\\\ @:a1]{1,3}", any::<bool>()), 1..4),
        ) {
            let mut text: Vec<char> = sample().chars().collect();
            for (at, inserted, replaces) in edits {
                let at = at % text.len();
                text.splice(at..if replaces { at + 1 } else { at }, inserted.chars());
            }
            let text: String = text.into_iter().collect();
            if let Err(said) = read(&text, &[]) {
                prop_assert!(!shows_a_part_of_the_secret(&said), "{said}\n{text}");
            }
        }

        #[test]
        fn no_value_of_a_wrong_type_shows_a_secret(
            line in 0..17_usize,
            wrong in prop::sample::select(TYPES.to_vec()),
            secret_first in any::<bool>(),
        ) {
            let text = sample();
            let changed: Vec<String> = text
                .lines()
                .enumerate()
                .map(|(at, have)| match have.split_once(" = ") {
                    // Either another type where a secret is due, or a secret where another type is due.
                    Some((key, _)) if at == line && secret_first => format!("{key} = \"{SECRET}\""),
                    Some((key, _)) if at == line => format!("{key} = {wrong}"),
                    _ => have.to_owned(),
                })
                .collect();
            if let Err(said) = read(&changed.join("\n"), &[]) {
                let key_may_show = secret_first && ["pool_size", "max_body", "listen", "vdns"].iter().any(|k| changed[line].contains(k));
                prop_assert!(key_may_show || !shows_a_part_of_the_secret(&said), "{said}");
            }
        }

        #[test]
        fn no_variable_of_a_wrong_type_shows_a_secret(name in prop::sample::select(VARIABLES.to_vec())) {
            for text in [sample(), String::new()] {
                let said = read(&text, &[(name, SECRET)]).expect_err(name);
                prop_assert!(said.contains(name) && !shows_a_part_of_the_secret(&said), "{said}");
            }
        }
    }

    #[test]
    fn a_mistake_says_where_it_is_and_what_is_the_rule() {
        for (text, expected) in [
            (
                "[database]\npool_size = 0\n",
                "callsweep.toml, line 2, column 1: database.pool_size = \"0\": must be a whole number, 1 or more",
            ),
            ("[api]\nlisten = \"x\"\n", "line 2, column 1: api.listen = \"x\": must be an address and a port such as"),
            ("[database]\nurl = \"a\n", "line 2, column "),
            ("[database]\nurl = 5\n", "database.url: must be a string, not a whole number"),
            ("[api]\nfoo = 1\n", "api.foo: there is no such key; the keys here are listen, "),
            ("[api]\n\"a b\" = 1\n", "api.\"…\": there is no such key"),
            ("[[api.keys]]\naccess_key = \"a\"\n", "api.keys[0]: vdns is missing"),
            ("[[sweep]]\narchive_history = 1\n", "sweep[0]: name is missing"),
            ("[[sweep]]\narchive_history = \"1\"\n", "sweep[0].archive_history: must be a whole number, not a text"),
            (
                "[[api.keys]]\nexpires = \"2027\"\n",
                "api.keys[0].expires = \"2027\": must be a time with its zone such as",
            ),
            ("[rules]\nongoing_task = \"x\"\n", "rules.ongoing_task = \"x\": must be \"campaign\" or \"number\""),
            ("api = 1\n", "api: must be a table, not a whole number"),
        ] {
            let error = read(text, &[]).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn only_variables_of_a_section_and_a_key_are_settings() {
        let of_kubernetes = [
            ("CALLSWEEP_PORT", "tcp://10.0.0.7:8080"),
            ("CALLSWEEP_PORT_8080_TCP", "tcp://10.0.0.7:8080"),
            ("CALLSWEEP_SERVICE_HOST", "10.0.0.7"),
            ("CALLSWEEP", "x"),
            ("OTHER__KEY", "x"),
        ];
        assert!(read("", &of_kubernetes).is_ok());
        let unknown = read("", &[("CALLSWEEP_DATABASE__PORT", "1")]).unwrap_err();
        assert!(
            unknown.contains("variable CALLSWEEP_DATABASE__PORT: database.port: there is no such key"),
            "{unknown}"
        );
    }

    #[test]
    fn a_variable_is_read_by_the_type_of_its_key_and_without_its_last_line_break() {
        use secrecy::ExposeSecret as _;

        let settings = read(
            "[database]\npool_size = 1\n",
            &[
                ("CALLSWEEP_DATABASE__URL", "12345\r\n"),
                ("CALLSWEEP_DATABASE__POOL_SIZE", "4\n"),
                ("CALLSWEEP_API__DOCS", "true"),
                ("CALLSWEEP_API__TLS__CERT", "7"),
                ("CALLSWEEP_API__TLS__KEY", "k"),
                ("CALLSWEEP_WORKER__SLEEP_RATIO", "1"),
            ],
        )
        .unwrap();
        assert_eq!((settings.database.url.expose_secret(), settings.database.pool_size.get()), ("12345", 4));
        assert!(settings.api.docs && settings.api.tls.unwrap().cert.ends_with("7"));
    }
}
