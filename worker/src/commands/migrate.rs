//! `migrate`: brings the tables up to date.

use std::fmt;

use callsweep_core::clock::Clock;
use callsweep_core::settings::Settings;
use callsweep_core::store::{Backend, Store, migrations};
use serde::Serialize;

use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, Format};

/// Which migrations were run. None is no news for a scheduler, so the exit code is that of success either way.
#[derive(Serialize)]
struct Migrated {
    backend: Backend,
    applied: Vec<String>,
}

impl fmt::Display for Migrated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.applied.is_empty() {
            return writeln!(f, "{}: the schema is already current", self.backend);
        }
        self.applied.iter().try_for_each(|name| writeln!(f, "{}: applied {name}", self.backend))
    }
}

/// Runs the command.
pub(crate) fn run(settings: &Settings, format: Format) -> Result<Exit, Failure> {
    let store = Store::create(&settings.database, Clock::system())?;
    let applied = migrations::run(&mut *store.connection()?)?;
    output::print(format, &Migrated { backend: store.backend(), applied })?;
    Ok(Exit::Done)
}
