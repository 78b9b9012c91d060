//! Asking a person before much is changed.

use std::io::{self, BufRead, Write};

use crate::cli::exit::{Exit, Failure};
use crate::cli::output;
use crate::process::stop::Stop;

/// Asks a person.
pub(crate) fn confirmed(question: &str, stop: &Stop) -> Result<bool, Failure> {
    let ask = || -> io::Result<String> {
        write!(io::stderr(), "{question} Go on? [y/N] ")?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        Ok(answer)
    };
    let answer =
        ask().map_err(|error| Failure::failed(format_args!("no answer: {error}. --yes answers beforehand")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes") && !stop.requested())
}

/// Says that nothing was done.
pub(crate) fn stopped_before_the_first_row() -> Exit {
    output::note("stopped by a person; nothing was changed");
    Exit::StoppedByPerson
}
