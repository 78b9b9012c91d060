//! Exit codes: they tell a scheduler how a command ended. Numbers are never given a new meaning.

use std::fmt;
use std::process::ExitCode;

use callsweep_core::engine::Error;
use callsweep_core::engine::Outcome;
use callsweep_core::run::Counts;
use callsweep_core::stop_reason::StopReason;
use callsweep_core::store::StoreError;

/// How a command ended.
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
    /// A person stopped it between two chunks, by a signal, a stop file or `runs ID cancel`, or answered no.
    StoppedByPerson = 4,
    /// The rules forbid it: the campaign is executing, or every number that matched is barred.
    RefusedByRules = 5,
    /// Part of it is done and part of it failed.
    FailedInPart = 6,
    /// More numbers would go than a bound allows, or as many as it allows are gone.
    RefusedByBound = 7,
    /// Another run is at work on the campaign.
    Locked = 8,
    /// Its time was over.
    StoppedByTime = 9,
    /// Its time was over while a throttle held it.
    StoppedByThrottle = 10,
    /// No campaign matches the policy or the pattern.
    NoCampaign = 11,
}

impl Exit {
    /// Every code with its meaning, in the order of the numbers.
    pub(crate) const ALL: [(Self, &'static str); 12] = [
        (Self::Done, "done (a preview: there is something to remove)"),
        (Self::Failed, "failed; what was committed by then is in the account and in the ledger"),
        (Self::Usage, "the command line or the settings cannot be used; nothing was begun"),
        (Self::NothingToDo, "nothing to do"),
        (Self::StoppedByPerson, "stopped by a person: a signal, a stop file, `runs ID cancel`, or the answer no"),
        (
            Self::RefusedByRules,
            "refused by the rules: the campaign is executing or began to, or all that matched is barred",
        ),
        (Self::FailedInPart, "failed in part (import: some lines were rejected; sweep: some campaigns)"),
        (Self::RefusedByBound, "refused by a bound: more would go than it allows; or as many as it allows are gone"),
        (Self::Locked, "locked by another run on the campaign"),
        (Self::StoppedByTime, "stopped by time: --max-duration is over"),
        (
            Self::StoppedByThrottle,
            "stopped by a throttle: --max-duration was over while it held the run, or a policy's window closed",
        ),
        (Self::NoCampaign, "no campaign matches the policy or --campaign; nothing was begun"),
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

    /// Somebody does not want it to begin.
    pub(crate) fn stopped(message: impl fmt::Display) -> Self {
        Self { exit: Exit::StoppedByPerson, message: message.to_string() }
    }

    /// There is no campaign to work on.
    pub(crate) fn no_campaign(message: impl fmt::Display) -> Self {
        Self { exit: Exit::NoCampaign, message: message.to_string() }
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
        Self { exit: exit_of(&error), message: error.to_string() }
    }
}

/// How a run ended, in one number.
pub(crate) fn exit_of_run(outcome: &Outcome, counts: &Counts) -> Exit {
    match outcome {
        Outcome::Succeeded if counts.matched == 0 => Exit::NothingToDo,
        Outcome::Succeeded if counts.deleted == 0 => Exit::RefusedByRules,
        Outcome::Succeeded => Exit::Done,
        Outcome::Stopped(reason) => match reason {
            StopReason::CampaignExecuting => Exit::RefusedByRules,
            StopReason::MaxDuration(_) => Exit::StoppedByTime,
            StopReason::Throttle { .. } => Exit::StoppedByThrottle,
            StopReason::MaxRows(_) => Exit::RefusedByBound,
            StopReason::Person | StopReason::Cancelled { .. } | StopReason::StopFile(_) => Exit::StoppedByPerson,
        },
        Outcome::Refused(error) | Outcome::Failed(error) => exit_of(error),
    }
}

/// What an error means for whoever reads the exit code.
fn exit_of(error: &Error) -> Exit {
    match error {
        Error::InvalidParameter(_) | Error::NoSuchCampaign { .. } | Error::NotResumable { .. } => Exit::Usage,
        Error::NotRestorable { .. } => Exit::Usage,
        Error::CampaignExecuting | Error::IntoExecuting(_) | Error::Clash(_) => Exit::RefusedByRules,
        Error::Bound(_) => Exit::RefusedByBound,
        Error::Locked { .. } | Error::KeyTaken(_) => Exit::Locked,
        Error::Campaigns { all: false, .. } => Exit::FailedInPart,
        Error::Campaigns { all: true, .. } | Error::Store(_) => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use callsweep_core::rules::Barred;

    use super::*;

    #[test]
    fn numbers_never_change() {
        let numbers = Exit::ALL.map(|(exit, _)| exit as u8);
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(Exit::RefusedByRules as u8, 5);
        assert_eq!(Exit::FailedInPart as u8, 6);
    }

    #[test]
    fn the_exit_code_tells_the_outcome() {
        let counts = |deleted, call_ongoing| Counts {
            matched: deleted + call_ongoing,
            deleted,
            archived: 0,
            barred: Barred { call_ongoing, ..Barred::default() },
        };
        let stopped = |reason| exit_of_run(&Outcome::Stopped(reason), &counts(5, 0));
        assert_eq!(exit_of_run(&Outcome::Succeeded, &counts(0, 0)), Exit::NothingToDo);
        assert_eq!(exit_of_run(&Outcome::Succeeded, &counts(0, 2)), Exit::RefusedByRules);
        assert_eq!(exit_of_run(&Outcome::Succeeded, &counts(1, 2)), Exit::Done);
        assert_eq!(stopped(StopReason::Person), Exit::StoppedByPerson);
        assert_eq!(stopped(StopReason::Cancelled { actor: "dba".to_owned() }), Exit::StoppedByPerson);
        assert_eq!(stopped(StopReason::MaxDuration(Duration::from_secs(1))), Exit::StoppedByTime);
        assert_eq!(stopped(StopReason::Throttle { by: "replica lag".to_owned() }), Exit::StoppedByThrottle);
        assert_eq!(stopped(StopReason::MaxRows(5)), Exit::RefusedByBound);
        assert_eq!(stopped(StopReason::CampaignExecuting), Exit::RefusedByRules);
        let refused = Outcome::Refused(Error::CampaignExecuting);
        assert_eq!(exit_of_run(&refused, &counts(0, 0)), Exit::RefusedByRules);
        let in_part = Outcome::Failed(Error::Campaigns { failed: Vec::new(), all: false });
        assert_eq!(exit_of_run(&in_part, &counts(5, 0)), Exit::FailedInPart);
        let failed = Outcome::Failed(Error::Store(StoreError::RunLost(1)));
        assert_eq!(exit_of_run(&failed, &counts(5, 0)), Exit::Failed);
    }

    #[test]
    fn help_lists_every_code() {
        let help = Exit::help();
        for (exit, meaning) in Exit::ALL {
            assert!(help.contains(&format!("  {:>2}  {meaning}\n", exit as u8)), "{help}");
        }
    }
}
