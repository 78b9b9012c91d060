//! `sweep`: removes numbers by hand, or shows what would go.

mod account;
mod command_line;
mod plan;
mod preview;
mod watch;

use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::time::Instant;

use callsweep_core::engine::Error;
use callsweep_core::engine::{Control, Engine, Gate, Progress, PurgeReport, purge, resume};
use callsweep_core::run::{NewRun, Target};
use callsweep_core::settings::Settings;
use callsweep_core::store::Store;
use callsweep_core::store::space::{self, Reclaimed};

use crate::cli::SweepArgs;
use crate::exit::{Exit, Failure};
use crate::gate::Gatekeeper;
use crate::metrics::{self, Metrics};
use crate::output::{self, Format, grouped};
use crate::policy::{self, PolicyGate};
use crate::stop::Stop;
use crate::{ask, database, progress, reclaim};

pub(crate) use command_line::Invocation;

use account::Account;
use preview::PreviewReport;
use watch::Watch;

/// Runs the command.
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
    let policy = args.policy.as_deref().map(|name| policy::find(settings, name)).transpose()?;
    let (new, engine) = match policy {
        Some(policy) => plan::of_policy(policy, settings, &database::open(settings)?)?,
        None => plan::of_flags(args, settings)?,
    };
    let mut expected = None;
    if let Some(new) = &new {
        if !args.execute {
            let Some(report) = look(&engine, new, invocation.execute(new)?, stop)? else {
                return Ok(ask::stopped_before_the_first_row());
            };
            output::print(format, &report)?;
            return Ok(report.exit());
        }
        // The preview gives the bar its length and the question its number. Where nobody looks, neither is needed.
        if progress::on_terminal() && !args.quiet {
            let Some(report) = look(&engine, new, String::new(), stop)? else {
                return Ok(ask::stopped_before_the_first_row());
            };
            let ask = report.removable() > settings.worker.confirm_above && !args.yes && io::stdin().is_terminal();
            if ask && !confirmed(new, report.removable(), stop)? {
                return Ok(ask::stopped_before_the_first_row());
            }
            expected = Some(report.removable());
        }
    }
    let mut gate: Box<dyn FnMut(&Progress) -> Gate> = if let Some(policy) = policy {
        let mut gate = PolicyGate::new(policy, settings, &engine.store, stop)?;
        Box::new(move |progress| gate.ask(progress))
    } else {
        let mut gate = Gatekeeper::new(plan::limits(args, settings), settings, engine.store.clone(), stop)?;
        Box::new(move |progress| gate.ask(progress))
    };
    let metrics = Metrics::new();
    let counted = RefCell::new(metrics.watch(args.policy.as_deref().unwrap_or_default()));
    let mut watch = Watch::new(expected, args.quiet);
    let begun = Instant::now();
    let mut control = Control {
        gate: Box::new(|progress| {
            counted.borrow_mut().see(progress);
            gate(progress)
        }),
        progress: Box::new(|progress: &Progress| {
            counted.borrow_mut().see(progress);
            watch.see(progress);
        }),
    };
    let done = match (&new, args.resume) {
        (Some(new), _) => purge(&engine, new, &mut control),
        (None, run_id) => resume(&engine, run_id.unwrap_or_default(), plan::bounds(&args.bounds), &mut control),
    };
    drop(control);
    drop(counted);
    watch.end();
    let report = done.or_else(|error| Err(explain(&engine, new.as_ref(), error)?))?;
    let took = begun.elapsed();
    let space = after(args, &engine.store, &report, stop);
    let account = Account::new(&report, took, invocation.resume(report.run_id)?, space);
    if !args.quiet {
        output::print(format, &account)?;
    }
    if args.why {
        output::note(format_args!("why: {}", account.why()));
    }
    if let Some(file) = &args.metrics_file {
        let refreshed = policy.map_or(Ok(()), |policy| metrics::refresh(&metrics, policy, settings, &engine.store));
        // The run has ended as it has; its exit code says how.
        if let Err(failure) = refreshed.and_then(|()| metrics::write_file(&metrics, file)) {
            output::note(format_args!("the metrics were not written: {failure}"));
        }
    }
    Ok(account.exit())
}

/// What is done for the database after a run. What fails here takes nothing from the run's account.
fn after(args: &SweepArgs, store: &Store, report: &PurgeReport, stop: &Stop) -> Option<Reclaimed> {
    if args.analyze
        && let Err(error) = store.connection().and_then(|mut conn| space::analyze(&mut conn))
    {
        output::note(format_args!("the planner's statistics were not refreshed: {error}"));
    }
    reclaim::after(store, report.counts.deleted, stop)
}

fn look(engine: &Engine, new: &NewRun, command: String, stop: &Stop) -> Result<Option<PreviewReport>, Failure> {
    let spinner = progress::spinner("counting");
    let mut campaigns = Vec::new();
    for target in &new.targets {
        let preview = callsweep_core::engine::preview::preview(engine, *target, &new.criteria, &|| stop.requested());
        match preview.or_else(|error| Err(explain(engine, Some(new), error)?))? {
            Some(preview) => campaigns.push((*target, preview)),
            None => return Ok(None),
        }
    }
    spinner.finish_and_clear();
    Ok(Some(PreviewReport::new(engine, new, campaigns, command)?))
}

/// An error in the words of the command line.
fn explain(engine: &Engine, new: Option<&NewRun>, error: Error) -> Result<Failure, Failure> {
    match (error, new) {
        (Error::NoSuchCampaign { vdn, campaign }, Some(_)) => {
            database::no_such_campaign(&mut *engine.store.connection()?, vdn, campaign)
        }
        (other, _) => Ok(other.into()),
    }
}

fn confirmed(new: &NewRun, numbers: i64, stop: &Stop) -> Result<bool, Failure> {
    let what = if new.archive_history { "Move to history" } else { "Delete for good" };
    let of = match &new.targets[..] {
        [Target { vdn_id, campaign_id }] => format!("campaign {campaign_id} in VDN {vdn_id}"),
        several => format!("{} campaigns", several.len()),
    };
    ask::confirmed(&format!("{what}: {} numbers of {of}.", grouped(numbers)), stop)
}
