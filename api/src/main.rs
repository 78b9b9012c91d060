//! The program `callsweep-api`.

use std::process::ExitCode;

fn main() -> ExitCode {
    callsweep_api::cli::run()
}
