//! `sweep`: removes numbers by hand, or shows what would go.

mod account;
mod command_line;
mod preview;

use std::io::{self, BufRead, IsTerminal, Write};
use std::time::Instant;

use callsweep_core::bounds::Bounds;
use callsweep_core::clock::Clock;
use callsweep_core::criteria::{Criteria, CriteriaMembers};
use callsweep_core::error::Error;
use callsweep_core::preview::Preview;
use callsweep_core::purge::{Control, Engine, Gate, Pace, StopReason, purge};
use callsweep_core::recycle_at;
use callsweep_core::run::{NewRun, RunKind, Target};
use callsweep_core::settings::Settings;

use crate::cli::SweepArgs;
use crate::exit::{Exit, Failure};
use crate::output::{self, Format, grouped};
use crate::stop::Stop;
use crate::{database, progress};

pub(crate) use command_line::Invocation;

use account::Account;
use preview::PreviewReport;

/// Above so many numbers a person on a terminal is asked first.
const CONFIRM_ABOVE: i64 = 10_000;

/// Runs the command.
pub(crate) fn run(
    args: SweepArgs,
    invocation: &Invocation<'_>,
    settings: &Settings,
    format: Format,
    stop: &Stop,
) -> Result<Exit, Failure> {
    let (execute, yes, chunk_size) = (args.execute, args.yes, args.chunk_size);
    let run = plan(args, &Clock::system())?;
    let store = database::open(settings)?;
    let pace = chunk_size.map_or_else(|| settings.worker.pace(), Pace::fixed);
    let engine = Engine { store, rules: settings.rules.ongoing_task, pace };

    if !execute {
        let Some(preview) = look(&engine, &run, stop)? else { return Ok(stopped_before_the_first_row()) };
        let report = PreviewReport::new(&run, preview, invocation.execute(&run, chunk_size)?);
        output::print(format, &report)?;
        return Ok(report.exit());
    }
    // The preview gives the bar its length and the question its number. Where nobody looks, neither is needed.
    let mut expected = 0;
    if progress::on_terminal() {
        let Some(preview) = look(&engine, &run, stop)? else { return Ok(stopped_before_the_first_row()) };
        expected = preview.removable;
        if expected > CONFIRM_ABOVE && !yes && io::stdin().is_terminal() && !confirmed(&run, expected, stop)? {
            return Ok(stopped_before_the_first_row());
        }
    }
    let account = remove(&engine, &run, expected, stop)?;
    output::print(format, &account)?;
    Ok(account.exit())
}

/// What the command line asks for.
fn plan(args: SweepArgs, clock: &Clock) -> Result<NewRun, Failure> {
    let recycle_time = match (args.recycle_time, args.recycle_type) {
        (Some(text), Some(recycle_type)) => {
            let time = recycle_at::recycle_time("--recycle-time", &text, recycle_type, clock.timestamp());
            Some(time.map_err(Failure::usage)?)
        }
        _ => None,
    };
    let SweepArgs { session_id, called, custom_field, recycle_type, .. } = args;
    let members = CriteriaMembers { session_id, called, custom_field, recycle_time, recycle_type };
    let criteria = Criteria::new(members).map_err(|_| {
        Failure::usage(
            "sweep needs a filter, or it would take the whole campaign. Give --session-id, --called, --custom-field, or \
             --recycle-type with --recycle-time",
        )
    })?;
    Ok(NewRun {
        kind: RunKind::Manual,
        policy: None,
        actor: actor(),
        targets: vec![Target { vdn_id: args.vdn, campaign_id: args.campaign }],
        criteria,
        archive_history: args.archive_history,
        bounds: Bounds::default(),
        key: None,
        request: None,
    })
}

fn look(engine: &Engine, run: &NewRun, stop: &Stop) -> Result<Option<Preview>, Failure> {
    let spinner = progress::spinner("counting");
    let preview = callsweep_core::preview::preview(engine, run.targets[0], &run.criteria, &|| stop.requested());
    spinner.finish_and_clear();
    preview.or_else(|error| Err(explain(engine, run, error)?))
}

fn remove(engine: &Engine, run: &NewRun, expected: i64, stop: &Stop) -> Result<Account, Failure> {
    let bar = progress::numbers(expected);
    let begun = Instant::now();
    let mut control = Control {
        gate: Box::new(|_| if stop.requested() { Gate::Stop(StopReason::Person) } else { Gate::Go }),
        progress: Box::new(|progress| {
            bar.set_position(u64::try_from(progress.counts.deleted).unwrap_or(0));
            let retries = progress.retries.total();
            let retries = if retries > 0 { format!(", {retries} retries") } else { String::new() };
            bar.set_message(format!("{} barred{retries}", grouped(progress.counts.barred.total())));
        }),
    };
    let report = purge(engine, run, &mut control);
    drop(control);
    bar.finish_and_clear();
    match report {
        Ok(report) => Ok(Account::new(run, &report, begun.elapsed())),
        Err(error) => Err(explain(engine, run, error)?),
    }
}

/// An error in the words of the command line.
fn explain(engine: &Engine, run: &NewRun, error: Error) -> Result<Failure, Failure> {
    match error {
        Error::NoSuchCampaign { vdn, campaign } if vdn == run.targets[0].vdn_id => {
            database::no_such_campaign(&mut *engine.store.connection()?, vdn, campaign)
        }
        other => Ok(other.into()),
    }
}

fn confirmed(run: &NewRun, numbers: i64, stop: &Stop) -> Result<bool, Failure> {
    let what = if run.archive_history { "Move to history" } else { "Delete for good" };
    let Target { vdn_id: vdn, campaign_id: campaign } = run.targets[0];
    let ask = || -> io::Result<String> {
        write!(
            io::stderr(),
            "{what}: {} numbers of campaign {campaign} in VDN {vdn}. Go on? [y/N] ",
            grouped(numbers)
        )?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(answer)
    };
    let answer =
        ask().map_err(|error| Failure::failed(format_args!("no answer: {error}. --yes answers beforehand")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes") && !stop.requested())
}

fn stopped_before_the_first_row() -> Exit {
    output::note("stopped by a person; nothing was changed");
    Exit::StoppedByPerson
}

/// The length of the ledger's column.
const ACTOR_MAX_CHARS: usize = 100;

/// Who sits at the keyboard, and where.
fn actor() -> String {
    let user =
        ["SUDO_USER", "USER"].into_iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    let user = user.unwrap_or_else(|| "unknown".to_owned());
    // Linux only; elsewhere the name of the user has to do.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let actor = if host.trim().is_empty() { user } else { format!("{user}@{}", host.trim()) };
    actor.chars().filter(|c| !c.is_control()).take(ACTOR_MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn planned(flags: &[&str]) -> Result<NewRun, Failure> {
        let words = ["callsweep-worker", "sweep", "--vdn", "1", "--campaign", "5"];
        let Command::Sweep(args) = Cli::parse_from(words.iter().chain(flags)).command else { panic!("no sweep") };
        let clock = Clock::from_fn(|| "2026-03-01T06:07:08Z".parse().unwrap());
        plan(args, &clock)
    }

    #[test]
    fn an_age_becomes_a_time() {
        let run = planned(&["--recycle-type", "1", "--recycle-time", "-30d", "--archive-history"]).unwrap();
        let criteria = serde_json::to_string(&run.criteria).unwrap();
        assert_eq!(criteria, r#"{"recycleTime":"2026-01-30 06:07:08","recycleType":"1"}"#);
        assert!(run.archive_history);
        assert_eq!(run.kind, RunKind::Manual);
    }

    #[test]
    fn no_filter_is_refused() {
        let failure = planned(&[]).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.to_string().contains("--recycle-type with --recycle-time"), "{failure}");
    }

    #[test]
    fn the_actor_fits_the_ledger() {
        let chars = actor().chars().count();
        assert!((1..=ACTOR_MAX_CHARS).contains(&chars));
    }
}
