//! Progress on stderr, on a terminal only.

use std::io::{self, IsTerminal};
use std::time::Duration;

use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};

/// How often a bar is redrawn while nothing is reported.
const TICK: Duration = Duration::from_millis(200);

/// A bar over the bytes of a file; a spinner where the size is not known.
pub(crate) fn bytes(size: Option<u64>) -> ProgressBar {
    let template = match size {
        Some(_) => "{bar:30} {percent:>3}%  {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left  {msg}",
        None => "{spinner} {bytes}  {bytes_per_sec}  {msg}",
    };
    bar(size, template)
}

/// A bar over numbers that are expected to go; a spinner where nobody has counted them.
pub(crate) fn numbers(total: Option<i64>) -> ProgressBar {
    let template = match total {
        Some(_) => "{bar:30} {percent:>3}%  {human_pos}/{human_len}  {rate}  {eta} left  {msg}",
        None => "{spinner} {human_pos}  {rate}  {msg}",
    };
    bar(total.and_then(|total| u64::try_from(total).ok()), template)
}

/// A spinner for work whose size nobody knows yet.
pub(crate) fn spinner(message: &'static str) -> ProgressBar {
    bar(None, "{spinner} {msg} {elapsed}").with_message(message)
}

/// Whether a person looks at stderr.
pub(crate) fn on_terminal() -> bool {
    io::stderr().is_terminal()
}

fn bar(length: Option<u64>, template: &str) -> ProgressBar {
    if !on_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for the eye")]
        let per_second = state.per_sec() as u64;
        let _ = write!(out, "{}/s", HumanCount(per_second));
    };
    let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    bar.set_style(style.with_key("rate", rate));
    bar.enable_steady_tick(TICK);
    bar
}
