//! What `restore` and `prune-history` have in common.

pub(crate) mod prune;
pub(crate) mod restore;

use std::io::{self, IsTerminal};

use callsweep_core::engine::HistoryReport;
use callsweep_core::engine::{Control, Engine};
use callsweep_core::run::Counts;
use callsweep_core::settings::Settings;
use callsweep_core::store::Store;
use indicatif::ProgressBar;

use crate::cli::ControlArgs;
use crate::cli::exit::{Exit, Failure, exit_of_run};
use crate::cli::output::printable;
use crate::cli::progress;
use crate::process::confirm;
use crate::process::stop::Stop;
use crate::run::gate::Gatekeeper;
use crate::run::limits;

fn engine(store: Store, args: &ControlArgs, settings: &Settings) -> Engine {
    Engine { store, rules: settings.rules.ongoing_task, pace: limits::pace(&args.pace, settings) }
}

/// What a preview found that matters before an execution.
struct Found {
    numbers: i64,
    is_refused: bool,
}

/// How an execution begins.
enum Start {
    /// With so many numbers expected, where they were counted.
    Go { expected: Option<i64> },
    /// Not at all: the operator stops it.
    Stopped,
}

/// On a terminal, counts what would change, and asks before much does.
fn start(
    look: impl FnOnce() -> Result<Option<Found>, Failure>,
    question: impl FnOnce(i64) -> String,
    yes: bool,
    settings: &Settings,
    stop: &Stop,
) -> Result<Start, Failure> {
    if !progress::on_terminal() {
        return Ok(Start::Go { expected: None });
    }
    let Some(Found { numbers, is_refused }) = look()? else { return Ok(Start::Stopped) };
    let ask = !is_refused && numbers > settings.worker.confirm_above && !yes && io::stdin().is_terminal();
    if ask && !confirm::confirmed(&question(numbers), stop)? {
        return Ok(Start::Stopped);
    }
    Ok(Start::Go { expected: Some(numbers) })
}

/// The gate of the run, with every throttle asked once.
fn gate<'a>(args: &ControlArgs, settings: &Settings, store: &Store, stop: &'a Stop) -> Result<Gatekeeper<'a>, Failure> {
    let mut gatekeeper = Gatekeeper::new(limits::limits(args, settings), settings, store.clone(), stop)?;
    gatekeeper.check_throttles()?;
    Ok(gatekeeper)
}

/// Asks the gate before each chunk, and moves the bar.
fn control<'a>(bar: &'a ProgressBar, mut gatekeeper: Gatekeeper<'a>, done: fn(&Counts) -> i64) -> Control<'a> {
    Control {
        gate: Box::new(move |progress| gatekeeper.ask(progress)),
        progress: Box::new(move |progress| {
            bar.set_position(u64::try_from(done(&progress.counts)).unwrap_or(0));
            bar.set_message(match (&progress.held_by, progress.retries.total()) {
                (Some(by), _) => format!("{}, {}", progress.state, printable(by)),
                (None, 0) => progress.state.to_string(),
                (None, retries) => format!("{}, {retries} retries", progress.state),
            });
        }),
    }
}

/// How it ended, in one number.
fn exit(report: &HistoryReport) -> Exit {
    let numbers = report.numbers;
    exit_of_run(&report.outcome, &Counts { matched: numbers, deleted: numbers, ..Counts::default() })
}
