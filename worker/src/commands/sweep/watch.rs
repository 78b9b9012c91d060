//! What a person sees while a run goes: a bar on a terminal, a line every ten seconds elsewhere.

use std::time::{Duration, Instant};

use callsweep_core::engine::Progress;
use callsweep_core::run::RunState;
use indicatif::ProgressBar;

use crate::cli::output::{self, grouped, printable};
use crate::cli::progress;

/// Between two lines where stderr is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Watches one run.
pub(super) struct Watch {
    bar: ProgressBar,
    /// `None`: nobody wants lines.
    last_line: Option<Instant>,
    begun: Instant,
    expected: Option<i64>,
}

impl Watch {
    /// `expected`: numbers that will go, where that is known.
    pub(super) fn new(expected: Option<i64>, quiet: bool) -> Self {
        let bar = if quiet { ProgressBar::hidden() } else { progress::numbers(expected) };
        let lines = !quiet && !progress::on_terminal();
        Self { bar, last_line: lines.then(Instant::now), begun: Instant::now(), expected }
    }

    /// Takes note of where the run stands.
    pub(super) fn see(&mut self, progress: &Progress) {
        self.bar.set_position(u64::try_from(progress.counts.deleted).unwrap_or(0));
        self.bar.set_message(status(progress));
        // A throttle is told at once; a chunk when its time has come.
        let due = self.last_line.is_some_and(|last| last.elapsed() >= LINE_EVERY || progress.chunk.is_none());
        if due {
            self.last_line = Some(Instant::now());
            output::note(self.line(progress));
        }
    }

    /// Clears the bar.
    pub(super) fn end(self) {
        self.bar.finish_and_clear();
    }

    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "a rate for the eye")]
    fn line(&self, progress: &Progress) -> String {
        let deleted = progress.counts.deleted;
        let of = self.expected.map(|expected| format!(" of {}", grouped(expected))).unwrap_or_default();
        let rate = deleted as f64 / self.begun.elapsed().as_secs_f64().max(0.001);
        let run = progress.run_id;
        format!("run {run}: {} deleted{of}, {}/s, {}", grouped(deleted), grouped(rate as i64), status(progress))
    }
}

/// "campaign 3, running, 12 barred, chunks of 5,000, 2 retries, held 1.2 s in all"
fn status(progress: &Progress) -> String {
    let mut words: Vec<String> = progress.campaign_id.map(|id| format!("campaign {id}")).into_iter().collect();
    words.push(progress.state.to_string());
    match (progress.state, &progress.held_by) {
        (RunState::Throttled, Some(by)) => words.push(format!("held by {}", printable(by))),
        // "paused by dba@db1"
        (RunState::Paused, Some(by)) => words.push(printable(by).into_owned()),
        _ => {}
    }
    words.push(format!("{} barred", grouped(progress.counts.barred.total())));
    words.extend(progress.chunk.map(|chunk| format!("chunks of {}", grouped(chunk.next_size as i128))));
    let retries = progress.retries.total();
    if retries > 0 {
        words.push(format!("{} retries", grouped(retries)));
    }
    if !progress.held.is_zero() {
        words.push(format!("held {:.1} s in all", progress.held.as_secs_f64()));
    }
    words.join(", ")
}
