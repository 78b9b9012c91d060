//! Results on stdout, as text or as one JSON document.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use crate::exit::Failure;

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
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format_args!("stdout cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Writes a remark for people to stderr. There is nowhere to report that stderr is gone.
pub(crate) fn note(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
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
    fn thousands_are_apart() {
        let texts = [0, 7, 999, 1_000, 200_180, -1_234_567].map(grouped);
        assert_eq!(texts, ["0", "7", "999", "1,000", "200,180", "-1,234,567"]);
    }
}
