//! The settings, read from one file by both binaries.

mod api;
mod decode;
mod mistake;
mod source;
mod sweep;
mod throttle;
mod warnings;
mod worker;

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};

use crate::model::rules::OngoingTask;

pub use crate::store::DatabaseSettings;
pub use api::{All, ApiSettings, KeySettings, LimitSettings, LogFormat, TlsSettings, Vdns};
pub use mistake::Mistake;
pub use sweep::{Allow, Campaigns, Policy, PolicyPace};
pub use throttle::ThrottleSettings;
pub use warnings::{certificate_expiry, warnings};
pub use worker::WorkerSettings;

/// The file that is read when no other is named.
pub const DEFAULT_FILE: &str = "callsweep.toml";

/// All settings. An unknown key is an error.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// `[database]`
    pub database: DatabaseSettings,
    /// `[rules]`
    pub rules: RulesSettings,
    /// `[api]`
    pub api: ApiSettings,
    /// `[worker]`
    pub worker: WorkerSettings,
    /// `[[sweep]]`
    pub sweep: Vec<Policy>,
}

/// `[rules]`
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RulesSettings {
    /// `"campaign"` or `"number"`.
    pub ongoing_task: OngoingTask,
}

/// Why the settings cannot be used. No text here shows a line of the file: a secret may stand in it.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file or a variable does not say what it must.
    #[error("settings: {0}")]
    Invalid(#[from] Mistake),
    /// A file was named that is not there.
    #[error("settings: {path} does not exist (named by --config)")]
    NoSuchFile {
        /// The file.
        path: String,
    },
    /// The file is there and cannot be read as text.
    #[error("settings: {path} cannot be read: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// The system's words.
        reason: String,
    },
    /// Values that do not fit each other.
    #[error("settings: {0}")]
    Conflict(String),
}

impl Settings {
    /// Reads `file`, or `callsweep.toml` in the working directory where there is one; `CALLSWEEP_SECTION__KEY` in
    /// the environment beats the file.
    ///
    /// # Errors
    /// Names the place, the key and the rule.
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        let path = file.unwrap_or_else(|| Path::new(DEFAULT_FILE));
        let shown = path.display().to_string();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => String::new(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(SettingsError::NoSuchFile { path: shown });
            }
            Err(error) => return Err(SettingsError::Unreadable { path: shown, reason: error.to_string() }),
        };
        let mut tree = source::parse(&shown, &text)?;
        source::overlay(&mut tree, std::env::vars_os())?;
        let settings: Self = decode::read(&tree)?;
        sweep::check(&settings.sweep).map_err(SettingsError::Conflict)?;
        Ok(settings)
    }
}

/// Reads a value that is written as a text. `rule` completes "must be".
fn parsed<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    rule: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    deserializer.deserialize_str(Parsed { rule, read })
}

struct Parsed<F> {
    rule: &'static str,
    read: F,
}

impl<T, F: Fn(&str) -> Option<T>> Visitor<'_> for Parsed<F> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.read)(text).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}
