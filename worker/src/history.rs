//! What `restore` and `prune-history` have in common.

use callsweep_core::engine::HistoryReport;
use callsweep_core::engine::{Control, Gate};
use callsweep_core::run::Counts;
use callsweep_core::stop_reason::StopReason;
use indicatif::ProgressBar;

use crate::exit::{Exit, exit_of_run};
use crate::stop::Stop;

/// Ends at a signal, and moves the bar.
pub(crate) fn control<'a>(bar: &'a ProgressBar, stop: &'a Stop, done: fn(&Counts) -> i64) -> Control<'a> {
    Control {
        gate: Box::new(|_| if stop.requested() { Gate::Stop(StopReason::Person) } else { Gate::Go }),
        progress: Box::new(move |progress| {
            bar.set_position(u64::try_from(done(&progress.counts)).unwrap_or(0));
            bar.set_message(match (&progress.held_by, progress.retries.total()) {
                (Some(by), _) => format!("{}, {by}", progress.state),
                (None, 0) => progress.state.to_string(),
                (None, retries) => format!("{}, {retries} retries", progress.state),
            });
        }),
    }
}

/// How it ended, in one number.
pub(crate) fn exit(report: &HistoryReport) -> Exit {
    let numbers = report.numbers;
    exit_of_run(&report.outcome, &Counts { matched: numbers, deleted: numbers, ..Counts::default() })
}
