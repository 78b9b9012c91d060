//! The settings, read from one file by both binaries.

mod api;
mod sweep;
mod throttle;
mod worker;

use std::fs;
use std::io;
use std::path::Path;

use config::{Config, Environment, File, FileFormat};
use serde::Deserialize;

use crate::model::rules::OngoingTask;

pub use crate::store::DatabaseSettings;
pub use api::{All, ApiSettings, KeySettings, LimitSettings, LogFormat, TlsSettings, Vdns};
pub use sweep::{Allow, Campaigns, Policy, PolicyPace};
pub use throttle::ThrottleSettings;
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

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file or a variable does not say what it must.
    #[error("settings: {0}")]
    Invalid(#[from] config::ConfigError),
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
    /// Names the key that is unknown or the value that does not fit.
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        if let Some(path) = file.filter(|path| !path.exists()) {
            return Err(SettingsError::NoSuchFile { path: path.display().to_string() });
        }
        let path = file.unwrap_or_else(|| Path::new(DEFAULT_FILE));
        // The config crate puts another character where a byte is not UTF-8: a name or a password would be another one.
        if let Err(error) = fs::read_to_string(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(SettingsError::Unreadable { path: path.display().to_string(), reason: error.to_string() });
        }
        let config = Config::builder()
            .add_source(File::from(path).format(FileFormat::Toml).required(false))
            .add_source(Environment::with_prefix("CALLSWEEP").prefix_separator("_").separator("__").try_parsing(true))
            .build()?;
        let settings: Self = config.try_deserialize()?;
        sweep::check(&settings.sweep).map_err(SettingsError::Conflict)?;
        Ok(settings)
    }
}
