//! `doctor`: whether everything is as it must be, one line each.

use std::fmt;
use std::path::{Path, PathBuf};

use callsweep_core::clock::Clock;
use callsweep_core::settings::{DEFAULT_FILE, Settings, warnings};
use callsweep_core::store::inspect::{Finding, Verdict, inspect};
use callsweep_core::store::{Store, StoreError, migrations};
use serde::Serialize;

use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, Format};

/// All findings.
#[derive(Serialize)]
#[serde(transparent)]
struct Findings(Vec<Finding>);

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { topic, detail, verdict } in &self.0 {
            let verdict = match verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warning",
                Verdict::Failure => "failure",
            };
            writeln!(f, "{verdict:<8} {topic:<30} {detail}")?;
        }
        Ok(())
    }
}

/// Runs the command. What cannot be looked at because something before it failed is left out.
pub(crate) fn run(config: Option<&Path>, format: Format) -> Result<Exit, Failure> {
    let mut findings = Vec::new();
    let settings = match Settings::load(config) {
        Ok(settings) => {
            findings.push(found("settings", settings_from(config)));
            let warned = warnings(&settings, config, Clock::system().now());
            findings.extend(warned.into_iter().map(|detail| Finding {
                topic: "security".to_owned(),
                detail,
                verdict: Verdict::Warning,
            }));
            Some(settings)
        }
        Err(error) => {
            findings.push(failure("settings", &error));
            None
        }
    };
    if let Some(settings) = settings {
        look_at_database(&settings, &mut findings);
    }
    let failed = findings.iter().any(|finding| finding.verdict == Verdict::Failure);
    output::print(format, &Findings(findings))?;
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

fn look_at_database(settings: &Settings, findings: &mut Vec<Finding>) {
    let connected = Store::open(&settings.database, Clock::system()).and_then(|store| Ok((store.connection()?, store)));
    let (mut conn, store) = match connected {
        Ok(connected) => connected,
        Err(error) => return findings.push(failure("connection", &error)),
    };
    findings.push(found("connection", store.backend().to_string()));
    findings.push(match migrations::pending(&mut conn) {
        Ok(pending) if pending.is_empty() => found("schema", "current".to_owned()),
        Ok(pending) => failure("schema", &StoreError::SchemaBehind(pending.len())),
        Err(error) => failure("schema", &error),
    });
    match inspect(&mut conn) {
        Ok(inspected) => findings.extend(inspected),
        Err(error) => findings.push(failure("server", &error)),
    }
}

fn settings_from(config: Option<&Path>) -> String {
    let file = config.map_or_else(|| PathBuf::from(DEFAULT_FILE), Path::to_owned);
    match file.canonicalize() {
        Ok(path) => path.display().to_string(),
        Err(_) => format!("no {DEFAULT_FILE} here: defaults, and CALLSWEEP_… from the environment"),
    }
}

fn found(topic: &str, detail: String) -> Finding {
    Finding { topic: topic.to_owned(), detail, verdict: Verdict::Ok }
}

fn failure(topic: &str, error: &dyn fmt::Display) -> Finding {
    Finding { topic: topic.to_owned(), detail: error.to_string(), verdict: Verdict::Failure }
}
