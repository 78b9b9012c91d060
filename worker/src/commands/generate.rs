//! `completions` and `man`: made from the command line itself.

use std::io::{self, Write as _};
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::cli::exit::{Exit, Failure};

/// Writes the completions of a shell to stdout.
pub(crate) fn completions(shell: Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "callsweep-worker", &mut script);
    let written = io::stdout().lock().write_all(&script);
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format_args!("stdout cannot be written: {error}")))
        }
        _ => Ok(Exit::Done),
    }
}

/// Writes a man page for the program and for each of its commands.
pub(crate) fn man(dir: &Path) -> Result<Exit, Failure> {
    clap_mangen::generate_to(Cli::command(), dir).map_err(|error| {
        Failure::failed(format_args!("{}: {error}. Name a directory that is there and can be written", dir.display()))
    })?;
    Ok(Exit::Done)
}
