//! Exit codes: they tell a scheduler how a command ended. Numbers are never given a new meaning.

use std::fmt;
use std::process::ExitCode;

use callsweep_core::error::Error;
use callsweep_core::store::StoreError;

/// How a command ended.
///
/// 7 to 10 are kept free for the ends that bounds and schedules will bring: refused by a bound, locked by another
/// run, stopped by time, stopped by a throttle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All that was asked is done.
    Done = 0,
    /// An error ended it. What was committed by then is in the account.
    Failed = 1,
    /// The command line or the settings cannot be used. Nothing was begun. (clap uses the same number.)
    Usage = 2,
    /// It looked, and there was nothing to do.
    NothingToDo = 3,
    /// A person stopped it (Ctrl-C, SIGTERM) between two chunks, or answered no.
    StoppedByPerson = 4,
    /// The rules forbid it: the campaign is executing, or every number that matched is barred.
    RefusedByRules = 5,
    /// Part of it is done and part of it failed.
    FailedInPart = 6,
}

impl Exit {
    /// Every code with its meaning, in the order of the numbers.
    pub(crate) const ALL: [(Self, &'static str); 7] = [
        (Self::Done, "done (a preview: there is something to remove)"),
        (Self::Failed, "failed; what was committed by then is in the account and in the ledger"),
        (Self::Usage, "the command line or the settings cannot be used; nothing was begun"),
        (Self::NothingToDo, "nothing to do"),
        (Self::StoppedByPerson, "stopped by a person"),
        (
            Self::RefusedByRules,
            "refused by the rules: the campaign is executing or began to, or all that matched is barred",
        ),
        (Self::FailedInPart, "failed in part (import: some lines were rejected)"),
    ];

    /// The list of codes for `--help`.
    pub(crate) fn help() -> String {
        let lines = Self::ALL.map(|(exit, meaning)| format!("  {:>2}  {meaning}\n", exit as u8));
        format!("Exit codes:\n{}A second Ctrl-C or SIGTERM ends the process at once, by that signal.", lines.concat())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command could not even give an account: a text for stderr, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    /// See [`Exit`].
    pub(crate) exit: Exit,
    message: String,
}

impl Failure {
    /// The command line or the settings cannot be used.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Usage, message: message.to_string() }
    }

    /// Something else failed.
    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self { exit: Exit::Failed, message: message.to_string() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::failed(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::failed(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_never_change() {
        let numbers = Exit::ALL.map(|(exit, _)| exit as u8);
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(Exit::RefusedByRules as u8, 5);
        assert_eq!(Exit::FailedInPart as u8, 6);
    }

    #[test]
    fn help_lists_every_code() {
        let help = Exit::help();
        for (exit, meaning) in Exit::ALL {
            assert!(help.contains(&format!("  {}  {meaning}\n", exit as u8)), "{help}");
        }
    }
}
