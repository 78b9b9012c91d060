//! Results on stdout, as text or as one JSON document.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use crate::cli::exit::Failure;

/// How a result is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One document, for programs.
    Json,
}

/// Writes a result to stdout. A reader that has gone away (`| head`) is no failure: what was done is done, and the
/// exit code must say so.
pub(crate) fn print<R: Serialize + fmt::Display>(format: Format, result: &R) -> Result<(), Failure> {
    let text = match format {
        Format::Text => result.to_string(),
        Format::Json => {
            let json = serde_json::to_string_pretty(result);
            json.map_err(|error| Failure::failed(format_args!("the result cannot be written as JSON: {error}")))?
        }
    };
    let text = match format {
        Format::Text => printable_lines(text.trim_end()),
        Format::Json => text,
    };
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{text}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format_args!("stdout cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a remark for people to stderr. There is nowhere to report that stderr is gone.
pub(crate) fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{}", printable_lines(&text.to_string()));
}

/// A text of somebody else (a name, an error of the server) without characters that control a terminal: they are shown
/// as `\u{1b}`. So are line breaks and marks that reverse the direction of writing: either makes a line look like another.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_control) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if is_control(c) { c.escape_default().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escape).collect())
}

/// The same for each line of a text of ours, whatever stands in it.
fn printable_lines(text: &str) -> String {
    text.split('\n').map(printable).collect::<Vec<_>>().join("\n")
}

fn is_control(c: char) -> bool {
    let reverses = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || reverses || matches!(c, '\u{2028}' | '\u{2029}')
}

/// A number with its thousands apart: 1,234,567.
pub(crate) fn grouped(number: impl Into<i128>) -> String {
    let number = number.into();
    let digits = number.unsigned_abs().to_string();
    let mut text = String::from(if number < 0 { "-" } else { "" });
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_raw() {
        assert_eq!(printable("dba@host 推荐"), "dba@host 推荐");
        assert_eq!(printable("a\u{1b}[2Jb\nc\t\u{9b}\u{202e}\u{2028}"), "a\\u{1b}[2Jb\\nc\\t\\u{9b}\\u{202e}\\u{2028}");
        assert_eq!(printable_lines("run\n\u{7}done\r\n"), "run\n\\u{7}done\\r\n");
    }

    #[test]
    fn thousands_are_apart() {
        let texts = [0, 7, 999, 1_000, 200_180, -1_234_567].map(grouped);
        assert_eq!(texts, ["0", "7", "999", "1,000", "200,180", "-1,234,567"]);
    }
}
