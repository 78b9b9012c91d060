//! Progress on stderr, on a terminal only.

use std::io::{self, IsTerminal};
use std::time::Duration;

use super::table::terminal_width;
use indicatif::{HumanCount, ProgressBar, ProgressState, ProgressStyle};

/// How often a bar is redrawn while nothing is reported.
const TICK: Duration = Duration::from_millis(200);

/// A bar over the bytes of a file; a spinner where the size is not known.
pub(crate) fn bytes(size: Option<u64>) -> ProgressBar {
    let template = match (size, Room::of(terminal_width())) {
        (None, _) => "{spinner} {bytes}  {bytes_per_sec}  {wide_msg}",
        (Some(_), Room::Wide) => {
            "{bar:30} {percent:>3}%  {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left  {wide_msg}"
        }
        (Some(_), Room::Usual) => "{bar:10} {percent:>3}%  {bytes_per_sec}  {eta} left  {wide_msg}",
        (Some(_), Room::Narrow) => "{percent:>3}%  {wide_msg}",
    };
    bar(size, template)
}

/// A bar over numbers that are expected to go; a spinner where nobody has counted them.
pub(crate) fn numbers(total: Option<i64>) -> ProgressBar {
    let template = template_of_numbers(total.is_some(), Room::of(terminal_width()));
    bar(total.and_then(|total| u64::try_from(total).ok()), template)
}

/// A spinner for work whose size nobody knows yet.
pub(crate) fn spinner(message: &'static str) -> ProgressBar {
    bar(None, "{spinner} {elapsed} {wide_msg}").with_message(message)
}

/// What fits beside the message, which takes the rest of the line. A line that is longer than the terminal would stay on
/// it when the bar is redrawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Room {
    /// 120 columns and more.
    Wide,
    Usual,
    /// Below 60 columns.
    Narrow,
}

impl Room {
    fn of(width: usize) -> Self {
        match width {
            120.. => Self::Wide,
            60.. => Self::Usual,
            _ => Self::Narrow,
        }
    }
}

fn template_of_numbers(is_counted: bool, room: Room) -> &'static str {
    match (is_counted, room) {
        (false, Room::Narrow) => "{spinner} {human_pos}  {wide_msg}",
        (false, _) => "{spinner} {human_pos}  {rate}  {wide_msg}",
        (true, Room::Wide) => "{bar:30} {percent:>3}%  {human_pos}/{human_len}  {rate}  {eta} left  {wide_msg}",
        (true, Room::Usual) => "{bar:10} {percent:>3}%  {human_pos}  {eta} left  {wide_msg}",
        (true, Room::Narrow) => "{percent:>3}%  {human_pos}  {wide_msg}",
    }
}

/// Whether a person looks at stderr.
pub(crate) fn on_terminal() -> bool {
    io::stderr().is_terminal()
}

fn bar(length: Option<u64>, template: &str) -> ProgressBar {
    if !on_terminal() {
        return ProgressBar::hidden();
    }
    let bar = length.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
    bar.set_style(style(template));
    bar.enable_steady_tick(TICK);
    bar
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate for the eye")]
        let per_second = state.per_sec() as u64;
        let _ = write!(out, "{}/s", HumanCount(per_second));
    };
    style.with_key("rate", rate)
}

#[cfg(test)]
mod tests {
    use indicatif::{InMemoryTerm, ProgressDrawTarget, TermLike as _};

    use super::*;

    #[test]
    fn a_bar_is_one_line_on_every_terminal() {
        for width in [20, 40, 59, 60, 80, 119, 120, 200] {
            for is_counted in [false, true] {
                let terminal = InMemoryTerm::new(8, width);
                let target = ProgressDrawTarget::term_like(Box::new(terminal.clone()));
                let bar = if is_counted { ProgressBar::new(123_456_789) } else { ProgressBar::new_spinner() };
                bar.set_draw_target(target);
                bar.set_style(style(template_of_numbers(is_counted, Room::of(width.into()))));
                bar.set_position(98_765_432);
                bar.set_message("campaign 913250611386957824, throttled, held by replica lag above 10 s, 12 barred");
                bar.tick();
                let shown = terminal.contents();
                assert_eq!(shown.lines().count(), 1, "{width}: {shown:?}");
                assert!(shown.contains("98,765,432"), "{width}: {shown:?}");
                assert_eq!(terminal.width(), width);
            }
        }
    }
}
