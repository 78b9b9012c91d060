//! Executing a sweep: confirmation, the run, and what follows it.

use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use callsweep_core::engine::{Control, Progress, PurgeReport, purge, resume};
use callsweep_core::run::{NewRun, Target};
use callsweep_core::settings::Settings;
use callsweep_core::store::Store;
use callsweep_core::store::space::{self, Reclaimed};

use super::account::Account;
use super::command_line::Invocation;
use super::plan::{Plan, Work};
use super::watch::Watch;
use super::{explain, preview};
use crate::cli::SweepArgs;
use crate::cli::exit::{Exit, Failure};
use crate::cli::output::{self, Format, grouped};
use crate::cli::progress;
use crate::metrics::{self, Metrics, MetricsFile};
use crate::process::confirm;
use crate::process::stop::Stop;
use crate::run::gate::Gatekeeper;
use crate::run::reclaim;

/// Executes the plan, prints the account and writes the metrics.
pub(super) fn execute(
    args: &SweepArgs,
    plan: &Plan<'_>,
    invocation: &Invocation<'_>,
    settings: &Settings,
    format: Format,
    metrics_file: Option<&MetricsFile>,
    stop: &Stop,
) -> Result<Exit, Failure> {
    let expected = match &plan.work {
        // The preview gives the bar its length and the question its number. Without a terminal neither is needed.
        Work::New(new) if progress::on_terminal() && !args.quiet => match confirm_new(args, plan, new, settings, stop)?
        {
            Some(removable) => Some(removable),
            None => return Ok(confirm::stopped_before_the_first_row()),
        },
        _ => None,
    };
    let mut gatekeeper = Gatekeeper::new(plan.limits.clone(), settings, plan.engine.store.clone(), stop)?;
    gatekeeper.check_throttles()?;
    let metrics = Metrics::new();
    let (report, took) = run(plan, gatekeeper, &metrics, Watch::new(expected, args.quiet))?;
    let space = maintain(args, &plan.engine.store, &report, stop);
    let account = Account::new(&report, took, invocation.resume(report.run_id)?, space);
    if !args.quiet {
        output::print(format, &account)?;
    }
    if args.why {
        output::note(format_args!("why: {}", account.why()));
    }
    if let Some(file) = metrics_file {
        let refreshed =
            plan.policy.map_or(Ok(()), |policy| metrics::refresh(&metrics, policy, settings, &plan.engine.store));
        // The run has ended, and the exit code tells how.
        if let Err(failure) = refreshed.and_then(|()| file.write(&metrics)) {
            output::note(format_args!("the metrics were not written: {failure}"));
        }
    }
    Ok(account.exit())
}

/// Counts what would go and asks before much goes. `None`: the operator stops it.
fn confirm_new(
    args: &SweepArgs,
    plan: &Plan<'_>,
    new: &NewRun,
    settings: &Settings,
    stop: &Stop,
) -> Result<Option<i64>, Failure> {
    let Some(report) = preview::preview(&plan.engine, new, stop)? else { return Ok(None) };
    let removable = report.removable();
    let ask = removable > settings.worker.confirm_above && !args.yes && io::stdin().is_terminal();
    if ask && !confirm::confirmed(&question(new, removable), stop)? {
        return Ok(None);
    }
    Ok(Some(removable))
}

fn question(new: &NewRun, numbers: i64) -> String {
    let what = if new.archive_history { "Move to history" } else { "Delete for good" };
    let of = match &new.targets[..] {
        [Target { vdn_id, campaign_id }] => format!("campaign {campaign_id} in VDN {vdn_id}"),
        several => format!("{} campaigns", several.len()),
    };
    format!("{what}: {} numbers of {of}.", grouped(numbers))
}

/// Makes the run, or continues it, under its gate.
fn run(
    plan: &Plan<'_>,
    mut gatekeeper: Gatekeeper<'_>,
    metrics: &Metrics,
    mut watch: Watch,
) -> Result<(PurgeReport, Duration), Failure> {
    let counted = RefCell::new(metrics.watch(plan.policy.map(|policy| policy.name.as_str())));
    let begun = Instant::now();
    let mut control = Control {
        gate: Box::new(|progress| {
            counted.borrow_mut().see(progress);
            gatekeeper.ask(progress)
        }),
        progress: Box::new(|progress: &Progress| {
            counted.borrow_mut().see(progress);
            watch.see(progress);
        }),
    };
    let done = match &plan.work {
        Work::New(new) => purge(&plan.engine, new, &mut control),
        Work::Resume { run_id, bounds } => resume(&plan.engine, *run_id, *bounds, &mut control),
    };
    drop(control);
    watch.end();
    let report = done.map_err(|error| explain(&plan.engine, error))?;
    Ok((report, begun.elapsed()))
}

/// Maintains the database after a run. What fails here takes nothing from the run's account.
fn maintain(args: &SweepArgs, store: &Store, report: &PurgeReport, stop: &Stop) -> Option<Reclaimed> {
    if args.analyze
        && let Err(error) = store.connection().and_then(|mut conn| space::analyze(&mut conn))
    {
        output::note(format_args!("the planner's statistics were not refreshed: {error}"));
    }
    reclaim::after(store, report.counts.deleted, stop)
}
