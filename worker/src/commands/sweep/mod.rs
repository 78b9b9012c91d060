//! `sweep`: removes numbers by hand, or shows what would go.

mod account;
mod command_line;
mod execute;
mod plan;
mod preview;
mod show_sql;
mod watch;

use callsweep_core::engine::Engine;
use callsweep_core::engine::Error;
use callsweep_core::settings::Settings;

use crate::cli::SweepArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, Format};
use crate::metrics::MetricsFile;
use crate::process::confirm;
use crate::process::database;
use crate::process::stop::Stop;

pub(crate) use command_line::Invocation;

use plan::{Plan, Work};

/// Runs the command: previews, unless `--execute` or `--resume` is given.
pub(crate) fn run(
    args: &SweepArgs,
    invocation: &Invocation<'_>,
    settings: &Settings,
    format: Format,
    stop: &Stop,
) -> Result<Exit, Failure> {
    if args.yes && !args.execute && args.resume.is_none() {
        return Err(Failure::usage("--yes goes with --execute: a preview asks nothing"));
    }
    let metrics_file = args.metrics_file.as_deref().map(MetricsFile::check).transpose()?;
    let plan = Plan::new(args, settings)?;
    match &plan.work {
        Work::New(new) if args.show_sql => {
            output::print(format, &show_sql::show_sql(&plan.engine, new)?)?;
            Ok(Exit::Done)
        }
        Work::New(new) if !args.execute => {
            let Some(report) = preview::preview(&plan.engine, new, stop)? else {
                return Ok(confirm::stopped_before_the_first_row());
            };
            let report = report.with_command(invocation.execute(new)?);
            output::print(format, &report)?;
            Ok(report.exit())
        }
        _ => execute::execute(args, &plan, invocation, settings, format, metrics_file.as_ref(), stop),
    }
}

/// An error, with what the command line can say about it.
fn explain(engine: &Engine, error: Error) -> Failure {
    match error {
        Error::NoSuchCampaign { vdn, campaign } => {
            let named = engine.store.connection().map_err(Failure::from);
            named
                .and_then(|mut conn| database::no_such_campaign(&mut conn, vdn, campaign))
                .unwrap_or_else(|other| other)
        }
        other => other.into(),
    }
}
